"""``palestra envs``: list the environments, show what one asks and pays, and play it yourself."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from palestra.cli.envs_check import check
from palestra.cli.envs_profile import profile
from palestra.cli.options import Files, Json, Keywords, keywords, registry_with
from palestra.errors import ConfigError
from palestra.plugins.registry import Kind, Registered
from palestra.plugins.specs import EnvironmentSpec
from palestra.terminal import one_line, visible

if TYPE_CHECKING:
    from palestra.envs.env import TextEnv

app = typer.Typer(
    add_completion=False,
    help="List, show, play, check and profile environments.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("check")(check)
app.command("profile")(profile)

EnvId = Annotated[str, typer.Argument(metavar="ENV_ID", help="As math/Arithmetic-v1.")]
Difficulty = Annotated[int | None, typer.Option(metavar="N", help="The level of the task.")]
Language = Annotated[str | None, typer.Option(metavar="L", help="The task's language, as en.")]
SplitName = Annotated[str | None, typer.Option("--split", metavar="S", help="The task's split.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Decides the task.")]


@app.command("ls")
def ls(json_output: Json = False, plugins: Files = None) -> None:
    """List the environments of all plugins."""
    from palestra.cli.plugins import print_table

    registry = registry_with(plugins)
    found = registry.specs(Kind.ENVIRONMENT)
    if json_output:
        typer.echo(json.dumps([_facts(registered) for registered in found], indent=2))
    else:
        rows = [(r.spec.name, r.distribution, r.spec.summary) for r in found]
        print_table(("id", "distribution", "summary"), rows)
    broken = [plugin.name for plugin in registry.plugins if plugin.state == "broken"]
    if broken:
        typer.echo(
            f"broken plugins: {one_line(', '.join(broken))}. See: palestra plugins ls", err=True
        )


@app.command("show")
def show(
    env_id: EnvId,
    difficulty: Difficulty = None,
    language: Language = None,
    split: SplitName = None,
    seed: Seed = 0,
    kwargs: Keywords = None,
    json_output: Json = False,
    plugins: Files = None,
) -> None:
    """Show an environment's facts, a sample of its tasks, and what its reference earns."""
    registry = registry_with(plugins)
    found = registry.find(Kind.ENVIRONMENT, env_id)
    document = _facts(found)
    with contextlib.redirect_stdout(sys.stderr):
        env = registry.make_env(env_id, **keywords(kwargs))
        with contextlib.closing(env):
            document["sizes"] = _sizes(env, cast("EnvironmentSpec", found.spec))
            options = _options(difficulty=difficulty, language=language, split=split)
            document["sample"] = _sample(env, seed, options)
    if json_output:
        typer.echo(json.dumps(document, indent=2, default=str))
    else:
        _print_facts(document)


@app.command("play")
def play(
    env_id: EnvId,
    answers: Annotated[
        list[str] | None,
        typer.Option("--answer", metavar="TEXT", help="Your answer; repeat it for more turns."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="F", help="A file that holds your answer; a line --- ends a turn."),
    ] = None,
    seed: Seed = 0,
    difficulty: Difficulty = None,
    language: Language = None,
    split: SplitName = None,
    kwargs: Keywords = None,
    json_output: Json = False,
    plugins: Files = None,
) -> None:
    """Answer a task yourself: type, and end with an empty line."""
    if answers and file:
        raise ConfigError("give --answer or --file, not both")
    given = list(answers or ())
    if file is not None:
        given = _turns(_read(file))
    actions = iter(given) if given else _typed()
    env = registry_with(plugins).make_env(env_id, **keywords(kwargs))
    options = _options(difficulty=difficulty, language=language, split=split)
    stdout = sys.stdout
    say = functools.partial(print, file=sys.stderr if json_output else stdout)
    with contextlib.closing(env), contextlib.redirect_stdout(sys.stderr):
        document = _play(env, seed, options, actions, say)
    if json_output:
        typer.echo(json.dumps(document, indent=2, default=str))


def _play(
    env: TextEnv,
    seed: int,
    options: dict[str, Any],
    actions: Iterator[str],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Play one episode, and return what was said and what it earned."""
    from palestra.envs.together import step_alone

    observation, info = env.reset(seed=seed, options=options)
    for message in cast("list[dict[str, str]]", info.get("messages", []))[:-1]:
        say(f"{visible(message['role'])}: {visible(message['content'])}\n")
    say(visible(observation))
    turns: list[dict[str, Any]] = []
    document = {"env": env.env_id, "task_id": info.get("task_id"), "turns": turns, "ended": None}
    while document["ended"] is None:
        print(file=sys.stderr)
        action = next(actions, None)
        if action is None:
            print("no more answers: stopped before the end", file=sys.stderr)
            break
        asked = observation
        observation, reward, terminated, truncated, info = step_alone(env, action)
        score = _score(float(reward), info)
        turns.append({"observation": asked, "action": action, "score": score})
        _print_score(score, say)
        if observation:
            say(f"\n{visible(observation)}")
        if terminated or truncated:
            document["ended"] = "terminated" if terminated else "truncated"
            note = "the end" if terminated else "cut off: no more turns"
            print(note, file=sys.stderr)
    document["total"] = sum(turn["score"]["value"] for turn in turns)
    return document


def _typed() -> Iterator[str]:
    """Yield what a person types, paragraph by paragraph; the end of the input ends it."""
    hint = "Your answer (graders read what stands in <answer>…</answer>; end with an empty line):"
    while True:
        typer.echo(hint, err=True)
        hint = "Your answer:"
        lines: list[str] = []
        for line in sys.stdin:
            if not line.strip():
                break
            lines.append(line.rstrip("\n"))
        else:
            if lines:
                yield "\n".join(lines)
            return
        yield "\n".join(lines)


# -- facts --------------------------------------------------------------------------------------


def _facts(found: Registered) -> dict[str, Any]:
    facts = asdict(found.spec)
    return {
        "id": facts.pop("name"),
        "distribution": found.distribution,
        "plugin": found.plugin,
        **facts,
    }


def _sizes(env: TextEnv, spec: EnvironmentSpec) -> dict[str, int | None]:
    """How many tasks each split holds; None where they are drawn for ever."""
    tasks: Callable[[Any], Any] | None = getattr(env, "tasks", None)
    sizes: dict[str, int | None] = {}
    for split in spec.splits:
        listed = tasks(split) if tasks is not None and spec.size is None else None
        sizes[split] = len(listed) if listed is not None else (spec.size or {}).get(split)
    return sizes


def _sample(env: TextEnv, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Draw a task, and grade its reference completion."""
    observation, info = env.reset(seed=seed, options=options)
    task = getattr(env, "task", None)
    sample: dict[str, Any] = {
        "task_id": info.get("task_id"),
        "split": info.get("split"),
        "language": info.get("language"),
        "difficulty": info.get("difficulty"),
        "messages": info.get("messages") or [{"role": "user", "content": observation}],
        "reference": None if task is None else task.reference,
        "reference_completion": None,
        "score": None,
    }
    if task is None or (completion := env.reference_completion(task)) is None:
        return sample
    from palestra.envs.together import step_alone

    sample["reference_completion"] = completion
    _, reward, _, _, info = step_alone(env, completion)
    sample["score"] = _score(reward, info)
    return sample


def _score(reward: float, info: dict[str, Any]) -> dict[str, Any]:
    return {
        "value": reward,
        "components": info.get("reward_components", {}),
        "status": info.get("reward_status", ""),
        "extracted_answer": info.get("extracted_answer"),
        "reason": info.get("reason", ""),
    }


def _print_facts(document: dict[str, Any]) -> None:
    low, high = document["reward_range"]
    facts = {
        "distribution": document["distribution"],
        "entry point": document["entry_point"],
        "rewards": f"{low:g} to {high:g}, {document['chance']:.3g} by chance",
        "turns": f"at most {document['max_turns']}",
        "splits": ", ".join(
            f"{split} ({'drawn for ever' if size is None else f'{size:,} tasks'})"
            for split, size in document["sizes"].items()
        ),
        "requires": ", ".join(document["requires"]) or "nothing more",
    }
    typer.echo(f"{one_line(document['id'])}: {one_line(document['summary'])}")
    for name, value in facts.items():
        typer.echo(f"  {name:<13} {one_line(value)}")
    sample = document["sample"]
    about = [sample["split"], sample["language"], sample["difficulty"]]
    told = ", ".join(str(part) for part in about if part is not None)
    typer.echo(f"\ntask {one_line(str(sample['task_id']))} ({one_line(told)})")
    for message in sample["messages"]:
        _print_block(message["role"], message["content"])
    _print_block("reference", str(sample["reference"]))
    if sample["reference_completion"] is not None:
        _print_block("reference completion", sample["reference_completion"])
        typer.echo("")
        _print_score(sample["score"], typer.echo)


def _print_block(title: str, text: str) -> None:
    typer.echo(f"\n{one_line(title)}:")
    for line in visible(text).split("\n"):
        typer.echo(f"  {line}".rstrip())


def _print_score(score: dict[str, Any], say: Callable[[str], None]) -> None:
    parts = ", ".join(f"{name} {value:g}" for name, value in score["components"].items())
    say(f"score   {score['value']:g}" + (f" ({one_line(parts)})" if parts else ""))
    say(f"status  {one_line(str(score['status']))}")
    if score["extracted_answer"] is not None:
        say(f"answer  {one_line(str(score['extracted_answer']))}")
    if score["reason"]:
        say(f"reason  {one_line(str(score['reason']))}")


# -- arguments ----------------------------------------------------------------------------------


def _options(**given: object) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _turns(text: str) -> list[str]:
    """Split a file into the answers of several turns, at lines of three dashes."""
    turns: list[list[str]] = [[]]
    for line in text.splitlines(keepends=True):
        if line.rstrip() == "---":
            turns.append([])
        else:
            turns[-1].append(line)
    return ["".join(lines).rstrip("\n") if len(turns) > 1 else text for lines in turns]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read {path}: {exc}") from exc
