"""reasoning-gym's datasets as Palestra's environments."""
