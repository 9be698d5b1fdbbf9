"""What the Gymnasium adapter brings: the declarative half, cheap to import."""

from palestra.plugins.specs import EnvironmentSpec


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare the two adapters; which environment they stand for is the argument ``id``."""
    return [
        EnvironmentSpec(
            name="gymnasium/Env-v1",
            entry_point="palestra_gymnasium.text:GymnasiumEnv",
            summary="any Gymnasium environment over text, by its id",
            reward_range=(-1e9, 1e9),
            has_reference=False,
            max_turns=32,
        ),
        EnvironmentSpec(
            name="gymnasium/ToyText-v1",
            entry_point="palestra_gymnasium.toy_text:ToyTextEnv",
            summary="FrozenLake, Taxi or Blackjack: the board as text, the moves as words",
            reward_range=(-10.0, 20.0),
            has_reference=False,
            max_turns=100,
            kwargs={"id": "FrozenLake-v1"},
        ),
    ]
