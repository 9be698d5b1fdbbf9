"""The learner: log-probs, gradient and optimizer steps under Accelerate, and checkpoints."""
