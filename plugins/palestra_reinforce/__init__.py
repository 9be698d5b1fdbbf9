"""REINFORCE with better baselines: RLOO and REINFORCE++."""
