"""What Palestra's math package brings: the declarative half, cheap to import."""

from palestra.plugins.specs import EnvironmentSpec


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare the math environments."""
    return [
        EnvironmentSpec(
            name="math/Arithmetic-v1",
            entry_point="palestra_math.arithmetic:ArithmeticEnv",
            summary="sums, differences and products of graded difficulty, in English and Chinese",
            isolation="inline",
        ),
        EnvironmentSpec(
            name="math/Dataset-v1",
            entry_point="palestra_math.dataset:DatasetEnv",
            summary="questions and answers of a local JSONL file, its columns named by you",
            has_reference=True,
            isolation="inline",
        ),
    ]
