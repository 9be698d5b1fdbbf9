"""A reward model and a policy optimizer for Palestra."""
