"""``palestra eval``: measure a model on environments, by the protocol of DeepSeek-R1."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palestra.cli.named_model import load_named
from palestra.cli.options import (
    Files,
    Json,
    Keywords,
    Model,
    Prefill,
    Prompt,
    keywords,
    registry_with,
)
from palestra.errors import ConfigError, did_you_mean
from palestra.terminal import one_line

if TYPE_CHECKING:
    from rich.table import Table

    from palestra.evaluation.config import EvalConfig
    from palestra.plugins.registry import Registry
    from palestra.stages.policy import LoadedPolicy

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_SHARES = ("pass@1", "lenient@1", "greedy", "format", "language_consistency")


@app.command("eval")
def command(
    model: Model,
    envs: Annotated[
        list[str], typer.Option("--env", metavar="ID", help="Environment. May be repeated.")
    ],
    questions: Annotated[int, typer.Option(min=1, help="Questions from each environment.")] = 150,
    samples: Annotated[int, typer.Option(min=1, help="Completions of each question.")] = 4,
    split: Annotated[str, typer.Option(help="The split that questions come from.")] = "test",
    difficulty: Annotated[
        str | None, typer.Option(metavar="N|LO-HI", help="Level, or range of levels.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="L", help="Language of the questions.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="Divides the logits.")] = 0.6,
    top_p: Annotated[float, typer.Option(help="Share of the probability to sample from.")] = 0.95,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a completion.")] = 512,
    prompt: Prompt = None,
    prefill: Prefill = None,
    kwargs: Keywords = None,
    greedy: Annotated[
        bool, typer.Option("--greedy/--no-greedy", help="Answer once greedily too.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Decides the questions and the noise.")] = 0,
    plugins: Files = None,
    json_output: Json = False,
) -> None:
    """Evaluate a model on held-out questions, each measure with its 95% interval."""
    levels = _levels(difficulty)
    arguments = keywords(kwargs)
    config = _config(
        envs=[
            {
                "env": env,
                "kwargs": arguments,
                "difficulty": levels,
                "language": language,
                "split": split,
            }
            for env in envs
        ],
        questions=questions,
        samples=samples,
        pass_at=[samples],
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        greedy=greedy,
        seed=seed,
    )
    registry = registry_with(plugins)
    _try_out(config, registry)
    started = time.monotonic()
    policy = load_named(model, prompt, prefill)
    evals = _measure(model, policy, config, registry)
    if json_output:
        document = {
            "schema": 1,
            "model": model,
            "prompt": policy.prompter.style,
            "prefill": policy.prompter.prefill,
            "config": config.model_dump(mode="json"),
            "seconds": round(time.monotonic() - started, 3),
            "evals": evals,
        }
        typer.echo(json.dumps(document, indent=2, default=str))
        return
    from rich.console import Console

    Console().print(_table(model, evals))


def _levels(text: str | None) -> list[int] | int | None:
    if text is None:
        return None
    low, dash, high = text.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        raise ConfigError(f"--difficulty takes a level or a range, as 2 or 1-3, not '{text}'")
    return [int(low), int(high)] if dash else int(low)


def _config(**values: Any) -> EvalConfig:
    """Build the config; what it refuses is said by the name of the option."""
    from pydantic import ValidationError

    from palestra.evaluation.config import EvalConfig
    from palestra.splits import SPLITS

    split = values["envs"][0]["split"]
    if split not in SPLITS:
        hint = did_you_mean(split, SPLITS)
        raise ConfigError(f"--split: no split '{split}'.{hint} Splits: {', '.join(SPLITS)}")
    try:
        return EvalConfig(**values)
    except ValidationError as exc:
        problems = [
            f"--{str(problem['loc'][-1]).replace('_', '-')}: {problem['msg']}"
            for problem in exc.errors()
        ]
        raise ConfigError("\n".join(dict.fromkeys(problems))) from exc


def _try_out(config: EvalConfig, registry: Registry) -> None:
    """Draw one question of each environment: a wrong option is found before a model loads."""
    for item in config.envs:
        wanted = {"split": item.split, "difficulty": item.difficulty, "language": item.language}
        env = registry.make_env(item.env, **item.kwargs)
        env.reset(seed=config.seed, options={k: v for k, v in wanted.items() if v is not None})
        env.close()


def _measure(
    model: str, policy: LoadedPolicy, config: EvalConfig, registry: Registry
) -> dict[str, dict[str, Any]]:
    from palestra.evaluation.evaluate import evaluate, measure
    from palestra.rollout.samplers.transformers import TransformersSampler

    sampler = TransformersSampler(policy.model)
    names = one_line(", ".join(item.env for item in config.envs))
    print(
        f"{one_line(model)} on {names}: {config.questions} questions x {config.samples} samples",
        file=sys.stderr,
    )
    try:
        answered = evaluate(
            config, registry, policy.prompter, sampler, max_tokens=config.max_tokens or 512
        )
    finally:
        sampler.close()
    return measure(answered, config.pass_at)


def _table(model: str, evals: dict[str, dict[str, Any]]) -> Table:
    """Return a row for each measure, and a column for each environment; all of it plain text."""
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{one_line(model)}: 95% intervals over questions")
    table = Table(title=title, title_justify="left")
    table.add_column(Text("measure"))
    columns = [_cells(measured) for measured in evals.values()]
    for name in evals:
        table.add_column(Text(one_line(name)), justify="right")
    longest = max(columns, key=len)  # the order of its rows, and behind them what it lacks
    for measure in dict.fromkeys(name for cells in (longest, *columns) for name in cells):
        table.add_row(Text(measure), *[Text(cells.get(measure, "–")) for cells in columns])
    return table


def _cells(measured: dict[str, Any]) -> dict[str, str]:
    cells = {name: _share(measured[name]) for name in _SHARES if name in measured}
    for family in ("pass@k", "cons@k"):
        for k, measure in measured.get(family, {}).items():
            cells.setdefault(family.replace("k", k), _share(measure))
    if "mean_length" in measured:
        cells["tokens"] = _interval(measured["mean_length"], 1.0)
    for level, measure in measured.get("by_difficulty", {}).items():
        cells[f"pass@1, level {level}"] = _share(measure)
    if "pass@1" in measured:
        cells["questions"] = str(measured["pass@1"]["n"])
    return cells | {"cut short": str(measured["truncated"]), "invalid": str(measured["invalid"])}


def _share(measure: dict[str, Any]) -> str:
    return _interval(measure, 100.0)


def _interval(measure: dict[str, Any], scale: float) -> str:
    value, (low, high) = measure["value"], measure["ci95"]
    unit = "%" if scale > 1 else ""
    return f"{value * scale:.1f}{unit} [{low * scale:.1f}, {high * scale:.1f}]"
