"""What Palestra's logic package brings: the declarative half, cheap to import."""

from palestra.plugins.specs import EnvironmentSpec


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare the logic environments."""
    return [
        EnvironmentSpec(
            name="logic/Ordering-v1",
            entry_point="palestra_logic.ordering:OrderingEnv",
            summary="put three to seven things in order from shuffled premises, English or Chinese",
            chance=1 / 6,
            isolation="inline",
        )
    ]
