"""What Palestra's code package brings: the declarative half, cheap to import."""

from palestra.plugins.specs import EnvironmentSpec

_ALL = ("train", "validation", "test")


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare the code environments."""
    return [
        _spec("HumanEval", "humaneval:HumanEvalEnv", "OpenAI's 164 functions", ("test",)),
        _spec("MBPP", "mbpp:MBPPEnv", "mostly basic Python problems, sanitized", _ALL),
        _spec("Dataset", "dataset:DatasetEnv", "problems and tests of a local JSONL file", _ALL),
        _spec("Competition", "competition:CompetitionEnv", "programs from input to output", _ALL),
        EnvironmentSpec(
            name="code/Expression-v1",
            entry_point="palestra_code.expression:ExpressionEnv",
            summary="what a Python expression evaluates to; needs no sandbox",
            chance=0.1,
            isolation="inline",
        ),
        EnvironmentSpec(
            name="code/Repair-v1",
            entry_point="palestra_code.repair:RepairEnv",
            summary="mend a function with one bug, with feedback over three turns",
            max_turns=3,
            isolation="inline",
        ),
    ]


def _spec(name: str, entry_point: str, summary: str, splits: tuple[str, ...]) -> EnvironmentSpec:
    return EnvironmentSpec(
        name=f"code/{name}-v1",
        entry_point=f"palestra_code.{entry_point}",
        summary=f"{summary}; graded in a sandbox",
        splits=splits,
        isolation="inline",
    )
