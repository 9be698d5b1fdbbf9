"""What Palestra's general package brings: the declarative half, cheap to import."""

from palestra.plugins.specs import EnvironmentSpec


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare the general environments."""
    return [
        EnvironmentSpec(
            name="general/Instructions-v1",
            entry_point="palestra_general.instructions:InstructionsEnv",
            summary="follow a small instruction whose result a rule can check, English or Chinese",
            isolation="inline",
        )
    ]
