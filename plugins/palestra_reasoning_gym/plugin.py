"""What the reasoning-gym adapter brings; listing it does not import reasoning-gym."""

from palestra.plugins.specs import EnvironmentSpec
from palestra_reasoning_gym.datasets import OFFERED, REQUIRES


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare an environment for each dataset that the adapter takes."""
    return [
        EnvironmentSpec(
            name=f"reasoning_gym/{name}-v1",
            entry_point="palestra_reasoning_gym.env:ReasoningGymEnv",
            kwargs={"dataset": name},
            summary=f"reasoning-gym's {name}, of {max(1, len(dataset.levels))} levels",
            requires=REQUIRES,
            chance=dataset.chance,
            has_reference=dataset.reference is not None,
        )
        for name, dataset in OFFERED.items()
    ]
