"""What Palestra's math package brings: the declarative half, cheap to import."""

from palestra.plugins.specs import EnvironmentSpec

_MPMATH = "mpmath>=1.3"  # irrational answers, compared to fifty digits
_MATH_VERIFY = "math-verify>=0.9,<0.10"  # references with integrals, sums and the like


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare the math environments.

    All are graded inline: the grader's work is bounded by construction, and what goes to
    math-verify goes to a child process that is killed when it is late.
    """
    return [
        _env(
            "Arithmetic",
            "arithmetic:ArithmeticEnv",
            "sums, differences and products of graded difficulty, in English and Chinese",
        ),
        _env(
            "Dataset",
            "dataset:DatasetEnv",
            "questions and answers of a JSONL, CSV or Parquet file, or of the Hub",
        ),
        _env("GSM8K", "dataset:GSM8KEnv", "grade-school word problems, from the Hub or a file"),
        _env(
            "SVAMP",
            "dataset:SVAMPEnv",
            "one-step word problems with distracting numbers, from the Hub or a file; a test set",
            splits=("test",),
            chance=0.08,
        ),
        _env(
            "MATH",
            "dataset:MATHEnv",
            "competition problems with LaTeX answers, from the Hub or a file",
            requires=(_MPMATH, _MATH_VERIFY),
        ),
        _env(
            "AIME",
            "dataset:AIMEEnv",
            "AIME 2024, from the Hub or a file; a test set",
            splits=("test",),
            chance=0.07,  # of thirty answers, two are the same
        ),
        _env(
            "Countdown", "countdown:CountdownEnv", "reach a target with given numbers, by + - * /"
        ),
        _env("Algebra", "algebra:AlgebraEnv", "equations, systems and roots, exact"),
        _env(
            "NumberTheory",
            "number_theory:NumberTheoryEnv",
            "divisors, remainders, powers and congruences",
        ),
        _env("Combinatorics", "combinatorics:CombinatoricsEnv", "counting problems"),
        _env(
            "NumberFacts",
            "number_facts:NumberFactsEnv",
            "sums and differences within 20, and the tables of multiplication: 622 facts",
            chance=0.07,
        ),
        _env(
            "WordProblems",
            "word_problems:WordProblemsEnv",
            "one-step word problems, from single digits to products",
        ),
        _env(
            "Geometry",
            "geometry:GeometryEnv",
            "lengths, areas and circles, exact",
            requires=(_MPMATH,),
        ),
    ]


def _env(
    name: str,
    entry: str,
    summary: str,
    requires: tuple[str, ...] = (),
    splits: tuple[str, ...] = ("train", "validation", "test"),
    chance: float = 0.0,
) -> EnvironmentSpec:
    return EnvironmentSpec(
        name=f"math/{name}-v1",
        entry_point=f"palestra_math.{entry}",
        summary=summary,
        requires=requires,
        splits=splits,
        chance=chance,
        isolation="inline",
    )
