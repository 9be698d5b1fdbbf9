"""``palestra benchmark``: measure a model on a suite of benchmarks by its protocol."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palestra.cli.named_model import load_named
from palestra.cli.options import Files, Json, Model, Prefill, Prompt, registry_with
from palestra.errors import ConfigError, NotFound, did_you_mean
from palestra.terminal import one_line

if TYPE_CHECKING:
    from rich.table import Table

    from palestra.evaluation.suite import Protocol, Result, Suite
    from palestra.plugins.registry import Registry

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("benchmark")
def command(
    model: Model,
    suite: Annotated[
        str, typer.Argument(help="A shipped suite, or a YAML file.")
    ] = "r1-benchmarks",
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with the sets' files.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="One benchmark. May be repeated.")
    ] = None,
    questions: Annotated[
        int | None, typer.Option(min=1, help="Questions of a benchmark at most.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Completions of a question at most.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a completion, instead of the suite's.")
    ] = None,
    prompt: Prompt = None,
    prefill: Prefill = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the questions and the noise.")] = 0,
    plugins: Files = None,
    json_output: Json = False,
) -> None:
    """Measure a model on each benchmark of a suite; a set that is absent is said so, with why."""
    from palestra.evaluation.suite import Protocol, load_suite

    if data is not None and not data.is_dir():
        raise ConfigError(f"--data: no folder {data}")
    chosen = _only(load_suite(suite), only or [])
    protocol = Protocol(
        data=data, questions=questions, samples=samples, max_tokens=max_tokens, seed=seed
    )
    results = list(_run(model, chosen, protocol, registry_with(plugins), prompt, prefill))
    if json_output:
        found = {r.name: r.measures or {"absent": r.absent} for r in results}
        typer.echo(json.dumps({"schema": 1, "model": model, "suite": suite, "benchmarks": found}))
        return
    from rich.console import Console

    Console().print(_table(model, chosen, results))
    for result in results:
        if result.absent:
            typer.echo(f"absent: {result.name}: {one_line(result.absent)}")


def _only(suite: Suite, names: list[str]) -> Suite:
    for name in names:
        if name not in suite.benchmarks:
            known = ", ".join(suite.benchmarks)
            hint = did_you_mean(name, suite.benchmarks)
            raise NotFound(f"--only: no benchmark '{name}'.{hint} The suite has: {known}")
    kept = {n: b for n, b in suite.benchmarks.items() if not names or n in names}
    return suite.model_copy(update={"benchmarks": kept})


def _run(
    model: str,
    suite: Suite,
    protocol: Protocol,
    registry: Registry,
    prompt: str | None,
    prefill: str | None,
) -> Iterator[Result]:
    policy = load_named(model, prompt, prefill)
    from palestra.evaluation.suite import run_suite
    from palestra.rollout.samplers.transformers import TransformersSampler

    sampler = TransformersSampler(policy.model)
    try:
        for result in run_suite(suite, protocol, registry, policy.prompter, sampler):
            print(f"{result.name}: {'absent' if result.absent else 'done'}", file=sys.stderr)
            yield result
    finally:
        sampler.close()


def _table(model: str, suite: Suite, results: list[Result]) -> Table:
    """Return a row for each benchmark; all of it plain text."""
    from rich.table import Table
    from rich.text import Text

    title = f"{one_line(model)}, temperature {suite.temperature}, top-p {suite.top_p}"
    columns = ("benchmark", "k", "pass@1", "lenient@1", "cons@k", "other", "questions")
    table = Table(*columns, title=Text(title), title_justify="left")
    for result in results:
        if result.measures is not None:
            table.add_row(Text(result.name), *_cells(result))
    return table


def _cells(result: Result) -> list[str]:
    found = result.measures or {}
    votes = found.get("cons@k", {}).get(str(result.samples))
    other = [
        f"{name} {_show(found[key], scale)}"
        for name, key, scale in (("rating", "rating", 1), ("wins", "win_rate", 100))
        if key in found
    ]
    count = next((found[k]["n"] for k in ("pass@1", "win_rate") if k in found), 0)
    failed = f" ({found['invalid']} without a verdict)" if found.get("invalid") else ""
    cells = [_show(m, 100) for m in (found.get("pass@1"), found.get("lenient@1"), votes)]
    return [str(result.samples), *cells, ", ".join(other), f"{count}{failed}"]


def _show(measure: dict[str, Any] | None, scale: float) -> str:
    if measure is None:
        return ""
    numbers = (measure["value"], *measure["ci95"])
    value, low, high = (f"{number * scale:.{0 if scale == 1 else 1}f}" for number in numbers)
    return f"{value} [{low}, {high}]"
