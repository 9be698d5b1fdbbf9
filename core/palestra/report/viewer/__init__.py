"""The rollout viewer: one static page of a stage's rollouts, for `palestra view`."""
