"""Controls for experiments: rewards that carry no information."""
