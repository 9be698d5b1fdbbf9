"""``palestra compare``: two runs on the same questions, by a paired bootstrap."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated

import typer

from palestra.cli.options import Json
from palestra.errors import ConfigError, did_you_mean
from palestra.terminal import one_line

if TYPE_CHECKING:
    from palestra.evaluation.answered import Answered
    from palestra.evaluation.paired import Paired, Pairing
    from palestra.recipe.finished import FinishedStage

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("compare")
def command(
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run, or RUN:STAGE.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another, or another's stage.")],
    role: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            help="Compare the stages of this role.",
            show_default="the runs' results",
        ),
    ] = None,
    metric: Annotated[str, typer.Option(metavar="NAME", help="The measure.")] = "pass@1",
    json_output: Json = False,
) -> None:
    """Compare two runs on the same questions: difference, 95% interval and p, paired by question.

    The difference is the second run's value minus the first's. Bootstrap of 10,000 resamples.
    """
    from palestra.evaluation.answered import METRICS
    from palestra.evaluation.paired import compare_answers

    known = (*METRICS, "greedy")
    if metric not in known:
        hint = did_you_mean(metric, known)
        raise ConfigError(f"--metric: no measure '{metric}'.{hint} Measures: {', '.join(known)}")
    stages = [_stage(text, role) for text in (first, second)]
    answers = [_answers(stage) for stage in stages]
    pairing = compare_answers(answers[0], answers[1], metric)
    names = [f"{stage.run}:{stage.name}" for stage in stages]
    if not pairing.shared:
        raise ConfigError(
            f"{names[0]} and {names[1]} share no question: of {len(answers[0])} and "
            f"{len(answers[1])} none is the same. Compare runs with the same `eval`"
        )
    if not pairing.rows:
        raise ConfigError(f"'{metric}' was not measured on any question that both runs share")
    if json_output:
        typer.echo(json.dumps(_document(names, metric, pairing), indent=2))
    else:
        _print(names, metric, pairing)


def _stage(text: str, role: str | None) -> FinishedStage:
    """Return the stage that `text` names, or the last finished one of `role`."""
    from pathlib import Path

    from palestra.recipe.finished import find_stage, stages_of_role

    if role is None:
        return find_stage(text)
    found = stages_of_role(Path(text), role)
    return find_stage(text, found[-1])


def _answers(stage: FinishedStage) -> list[Answered]:
    from palestra.evaluation.answered import FILE, read_answered

    file = stage.folder / FILE
    if not file.is_file():
        raise ConfigError(
            f"stage '{stage.name}' of {stage.run} has no {FILE}: it was not evaluated, or by an "
            f"older version. Name another stage as {stage.run}:STAGE, or make it anew"
        )
    return read_answered(file)


def _document(names: list[str], metric: str, pairing: Pairing) -> dict[str, object]:
    return {
        "schema": 1,
        "first": names[0],
        "second": names[1],
        "metric": metric,
        "shared": pairing.shared,
        "only_first": pairing.only_first,
        "only_second": pairing.only_second,
        "without": pairing.without,
        "rows": [row.as_dict() for row in pairing.rows],
    }


def _print(names: list[str], metric: str, pairing: Pairing) -> None:
    from palestra.cli.plugins import print_table

    typer.echo(one_line(f"{metric}: A is {names[0]}, B is {names[1]}"))
    head = ("environment", "questions", "A", "B", "B - A", "95%", "p")
    print_table(
        head, [_cells(row, 1.0 if metric == "mean_length" else 100.0) for row in pairing.rows]
    )
    if pairing.only_first or pairing.only_second:
        typer.echo(
            f"the questions differ: {pairing.shared} are in both and compared; "
            f"{pairing.only_first} only in A, {pairing.only_second} only in B"
        )
    if pairing.without:
        typer.echo(f"{pairing.without} shared questions have no {metric} in one of the runs")


def _cells(row: Paired, scale: float) -> tuple[str, ...]:
    unit = "%" if scale > 1 else ""
    low, high = row.difference.ci95
    digits = max(3, math.ceil(-math.log10(row.p))) if row.p > 0 else 3
    return (
        row.env,
        str(row.difference.n),
        f"{row.first * scale:.1f}{unit}",
        f"{row.second * scale:.1f}{unit}",
        f"{row.difference.value * scale:+.1f}{unit}",
        f"[{low * scale:+.1f}, {high * scale:+.1f}]",
        f"{row.p:.{min(digits, 6)}f}",
    )
