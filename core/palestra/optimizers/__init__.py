"""Policy optimizers: from groups of rewards to a loss."""
