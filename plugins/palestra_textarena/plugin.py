"""What the TextArena adapter brings: the declarative half, cheap to import."""

from palestra.plugins.specs import EnvironmentSpec


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare one environment, whose argument `id` names the game."""
    return [
        EnvironmentSpec(
            name="textarena/Game-v1",
            entry_point="palestra_textarena.game:GameEnv",
            summary="a single-player game of TextArena, named by `id` (Sudoku-v0, LightsOut-v0…)",
            requires=("textarena>=0.7.4",),
            has_reference=False,
            max_turns=50,
        )
    ]
