"""PPO: an actor, and a critic that learns what its states are worth."""
