"""What this package brings: names only, so that listing plugins imports nothing else."""

from palestra import EnvironmentSpec


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare the environments."""
    return [
        EnvironmentSpec(
            name="example/Example-v1",
            entry_point="palestra_example.env:ExampleEnv",
            summary="write a word backwards",
            api=">=1,<2",
        )
    ]
