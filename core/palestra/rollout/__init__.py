"""Rollouts: from tasks to groups of trajectories, token for token."""
