"""``palestra rollouts``: list a run's rollouts, read them, grade them again, compare them."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palestra.cli.options import Json
from palestra.errors import ConfigError
from palestra.terminal import one_line, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.text import Text

    from palestra.recipe.rescore import Regraded
    from palestra.rollout.recorded import RecordedStage, Row

app = typer.Typer(
    add_completion=False,
    help="List a run's rollouts, read them, grade them again, compare them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Stage = Annotated[
    str | None, typer.Option(metavar="NAME", help="The stage.", show_default="the last with some")
]
Step = Annotated[
    int | None, typer.Option(metavar="N", help="The step.", show_default="the last recorded one")
]
_LISTED = ("group", "member", "reward", "status", "length", "stop_reason")
_TASK_COLUMNS = ("group", "member", "env_id", "task_id", "reward", "status")
_MOST_SHOWN = 20


@app.command("ls")
def ls(run: Run, stage: Stage = None, json_output: Json = False) -> None:
    """List the recorded steps: groups, completions, and their means."""
    from palestra.cli.plugins import print_table
    from palestra.rollout.recorded import find_stage, read_step, recorded_stages

    stages = recorded_stages(run) if stage is None else [find_stage(run, stage)]
    found = [
        {"stage": s.name, "step": step, **_summary(read_step(file, _LISTED))}
        for s in stages
        for step, file in s.steps.items()
    ]
    if json_output:
        typer.echo(json.dumps(found, indent=2))
        return
    titles = ("stage", "step", "groups", "completions", "reward", "tokens", "cut", "no verdict")
    print_table(titles, [tuple(_cell(value) for value in row.values()) for row in found])


def _summary(rows: Sequence[Row]) -> dict[str, float | int | None]:
    """Return what a step holds; the mean reward is over members with a verdict."""
    from palestra.envs import Status

    valid = [row["reward"] for row in rows if Status(row["status"]).is_valid]
    return {
        "groups": len({row["group"] for row in rows}),
        "completions": len(rows),
        "reward": sum(valid) / len(valid) if valid else None,
        "tokens": sum(row["length"] for row in rows) / len(rows) if rows else None,
        "cut": sum(row["stop_reason"] == "length" for row in rows),
        "no_verdict": len(rows) - len(valid),
    }


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else one_line(str(value))


@app.command("show")
def show(
    run: Run,
    stage: Stage = None,
    step: Step = None,
    group: Annotated[
        int | None, typer.Option(metavar="N", help="The group.", show_default="the step's first")
    ] = None,
    member: Annotated[
        int | None, typer.Option(metavar="N", help="One member of the group alone.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Show a group: its prompt, each completion, and what it earned."""
    from palestra.rollout.recorded import by_group, find_stage, read_step

    found = find_stage(run, stage)
    number = _last(found) if step is None else step
    groups = by_group(read_step(found.file(number)))
    chosen = next(iter(groups)) if group is None else group
    if chosen not in groups:
        raise ConfigError(
            f"step {number} of {found.name} has no group {chosen}; it has "
            f"{', '.join(map(str, groups))}"
        )
    rows = [row for row in groups[chosen] if member is None or row["member"] == member]
    if not rows:
        raise ConfigError(f"group {chosen} has members 0 to {len(groups[chosen]) - 1}")
    if json_output:
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for part in _group_text(rows, found.name, number):
        console.print(part, soft_wrap=True)


def _group_text(rows: Sequence[Row], stage: str, step: int) -> Iterable[Text]:
    """Yield a group as plain text with styles: what a model wrote is never markup."""
    from rich.text import Text

    first = rows[0]
    where = f"{stage}, step {step}, group {first['group']}: {first['env_id']} {first['task_id']}"
    yield Text(one_line(where), style="bold")
    yield Text(visible(first["prompt"]))
    if first["reference"] is not None:
        yield Text(f"reference {one_line(first['reference'])}", style="dim")
    for row in rows:
        scores = [f"{name} {value:g}" for name, value in json.loads(row["components"]).items()]
        facts = [f"reward {row['reward']:g}", *scores, row["status"], f"{row['length']} tokens"]
        if row["advantage"] is not None:
            facts.append(f"advantage {row['advantage']:+.3g}")
        if row["stop_reason"] != "stop":
            facts.append(f"cut: {row['stop_reason']}")
        yield Text()
        yield Text(one_line(f"[{row['member']}] {', '.join(facts)}"), style="cyan")
        if row["reason"]:
            yield Text(one_line(row["reason"]), style="italic")
        yield Text(visible(row["completion"]))


@app.command("rescore")
def rescore(run: Run, stage: Stage = None, step: Step = None, json_output: Json = False) -> None:
    """Grade a step's rollouts again with the graders as they are now.

    The recorded turns are played once more; the run is not changed. With unchanged graders every
    score is the same. A grading that fails is a status, and never a reward of 0.
    """
    from palestra.recipe.rescore import load_run_recipe
    from palestra.recipe.rescore import rescore as grade_again
    from palestra.rollout.recorded import find_stage

    found = find_stage(run, stage)
    number = _last(found) if step is None else step
    with contextlib.redirect_stdout(sys.stderr):  # what a grader prints is no data
        regraded = grade_again(load_run_recipe(run), found, number)
    changed = [each for each in regraded if each.is_changed]
    failed = sum(not each.status.is_valid for each in regraded)
    if json_output:
        document = {
            "stage": found.name,
            "step": number,
            "completions": len(regraded),
            "changed": len(changed),
            "failed": failed,
            "rollouts": [_regraded(each) for each in regraded],
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(
        one_line(
            f"{found.name}, step {number}: {len(regraded)} graded again, {len(changed)} changed, "
            f"{failed} without a verdict"
        )
    )
    for each in changed[:_MOST_SHOWN]:
        typer.echo(_change(each))
    if len(changed) > _MOST_SHOWN:
        typer.echo(f"… and {len(changed) - _MOST_SHOWN} more; --json has all")


def _regraded(each: Regraded) -> dict[str, Any]:
    row = each.row
    return {
        **{name: row[name] for name in ("env_id", "task_id", "group", "member")},
        "before": {
            "reward": row["reward"],
            "components": json.loads(row["components"]),
            "status": row["status"],
        },
        "after": {
            "reward": each.reward if each.status.is_valid else None,
            "components": dict(each.components),
            "status": str(each.status),
            "reason": each.reason,
        },
        "changed": each.is_changed,
    }


def _change(each: Regraded) -> str:
    row = each.row
    now = f"{each.reward:g} {each.status}" if each.status.is_valid else str(each.status)
    reason = f": {each.reason}" if each.reason else ""
    return "  " + one_line(
        f"group {row['group']} member {row['member']} ({row['env_id']} {row['task_id']}): "
        f"{row['reward']:g} {row['status']} → {now}{reason}"
    )


@app.command("diff")
def diff(
    run: Run,
    other: Annotated[
        Path | None,
        typer.Argument(metavar="[OTHER]", help="Another run.", show_default=False),
    ] = None,
    stage: Stage = None,
    steps: Annotated[
        list[int] | None,
        typer.Option(
            "--step",
            metavar="N",
            help="The step; of one run two of them, by giving it twice.",
            show_default="the last; of one run the first and the last",
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Compare what two steps, or two runs, earned on the same tasks."""
    from palestra.cli.plugins import print_table
    from palestra.rollout.compare import compare
    from palestra.rollout.recorded import read_step

    sides = _sides(run, other, stage, steps or [])
    rows = [read_step(found.file(step), _TASK_COLUMNS) for found, step in sides]
    result = compare(*rows)
    if json_output:
        document = {
            "before": {"stage": sides[0][0].name, "step": sides[0][1], "reward": result.before},
            "after": {"stage": sides[1][0].name, "step": sides[1][1], "reward": result.after},
            "tasks": [
                {"env_id": p.env_id, "task_id": p.task_id, "before": p.before, "after": p.after}
                for p in result.tasks
            ],
            "change": result.change,
            "only_before": result.only_before,
            "only_after": result.only_after,
        }
        typer.echo(json.dumps(document, indent=2))
        return
    names = [f"{found.name} {step}" for found, step in sides]
    cells = [
        (p.env_id, p.task_id, *map(_cell, (p.before, p.after)), f"{p.change:+.3f}")
        for p in result.tasks[:_MOST_SHOWN]
    ]
    if cells:
        print_table(("environment", "task", *names, "change"), cells)
    if len(result.tasks) > len(cells):
        typer.echo(f"… and {len(result.tasks) - len(cells)} more; --json has all")
    same = f"{len(result.tasks)} tasks in both"
    if result.change is not None:
        same += f", mean change {result.change:+.3f}"
    typer.echo(
        one_line(
            f"{same}; {result.only_before} only in {names[0]}, {result.only_after} only in "
            f"{names[1]}; mean reward of all {_cell(result.before)} → {_cell(result.after)}"
        )
    )


def _sides(
    run: Path, other: Path | None, stage: str | None, steps: list[int]
) -> list[tuple[RecordedStage, int]]:
    """Return stage and step of both sides."""
    from palestra.rollout.recorded import find_stage

    first = find_stage(run, stage)
    if len(steps) > 2:
        raise ConfigError("--step: two steps can be compared, not more")
    if other is not None:
        second = find_stage(other, stage)
        before, after = (steps[0], steps[-1]) if steps else (_last(first), _last(second))
        return [(first, before), (second, after)]
    if len(steps) == 1:
        raise ConfigError("--step: give two steps, or another run")
    before, after = steps or (min(first.steps), _last(first))
    return [(first, before), (first, after)]


def _last(stage: RecordedStage) -> int:
    return max(stage.steps)
