"""``palestra chat``: talk to a model, its thoughts and its answers apart."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from palestra.cli.named_model import load_named
from palestra.cli.options import Json, Model, Prefill, Prompt
from palestra.errors import ConfigError
from palestra.terminal import visible

if TYPE_CHECKING:
    from palestra.envs import Message
    from palestra.rollout.samplers.base import SamplingParams
    from palestra.rollout.streaming import Part
    from palestra.stages.policy import LoadedPolicy

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


@app.command("chat")
def command(
    model: Model,
    once: Annotated[
        str | None, typer.Option(metavar="QUESTION", help="Answer this, and end.")
    ] = None,
    prompt: Prompt = None,
    prefill: Prefill = None,
    system: Annotated[str | None, typer.Option(help="A system prompt.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="Divides the logits.")] = 0.6,
    top_p: Annotated[float, typer.Option(help="Share of the probability to sample from.")] = 0.95,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer.")] = 2048,
    seed: Annotated[int, typer.Option(min=0, help="Decides the noise.")] = 0,
    json_output: Json = False,
) -> None:
    """Talk to a model. Thoughts are dim; what it is told of its past are its answers alone."""
    if json_output and once is None:
        raise ConfigError("--json prints one document: give the question by --once")
    if not 0 < top_p <= 1:
        raise ConfigError(f"--top-p is above 0 and at most 1, not {top_p}")
    policy = load_named(model, prompt, prefill)
    from palestra.rollout.samplers.base import SamplingParams

    params = SamplingParams(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
    history: list[Message] = [{"role": "system", "content": system}] if system else []
    if once is not None:
        said = _answer(policy, [*history, {"role": "user", "content": once}], params, seed)
        if json_output:
            typer.echo(json.dumps(_collected(said), ensure_ascii=False))
        else:
            _show(said)
        return
    _converse(policy, history, params, seed)


def _converse(
    policy: LoadedPolicy, history: list[Message], params: SamplingParams, seed: int
) -> None:
    """Ask and answer until the input ends. Ctrl-C cuts an answer short, and at the prompt ends."""
    asks = sys.stdin.isatty()
    if asks:
        print("An empty line forgets what was said; Ctrl-D ends.", file=sys.stderr)
    turn, opening = 0, list(history)
    while True:
        try:
            question = input("> " if asks else "")
        except EOFError:
            return
        if not question.strip():
            history = list(opening)
            continue
        history.append({"role": "user", "content": question})
        try:
            answer = _show(_answer(policy, history, params, seed + turn))
        except KeyboardInterrupt:
            print(f"{_PLAIN if sys.stdout.isatty() else ''}\n(cut short)")
            history.pop()
            continue
        history.append({"role": "assistant", "content": answer})
        turn += 1


def _answer(
    policy: LoadedPolicy, messages: list[Message], params: SamplingParams, seed: int
) -> Iterator[tuple[Part, str]]:
    from palestra.rollout.streaming import Splitter, stream

    splitter = Splitter()
    ids = policy.prompter.open(messages)
    for piece in stream(policy.model, policy.prompter, ids, params, seed):
        yield from splitter.feed(piece)
    yield from splitter.feed("", last=True)


def _show(said: Iterator[tuple[Part, str]]) -> str:
    """Print the parts as they come, each under its name, and return the answer."""
    styled = sys.stdout.isatty()
    answer, now = "", None
    for part, text in said:
        if part != now:
            if not text.strip():
                continue  # between two tags
            text = text.lstrip()
            print("\n" if now else "", end="")
            now = part
            print(f"{_DIM}thinking{_PLAIN}" if styled and part == "thinking" else part)
        answer += text if part == "answer" else ""
        shown = visible(text)
        dim = styled and part == "thinking"
        print(f"{_DIM}{shown}{_PLAIN}" if dim else shown, end="", flush=True)
    print()
    return answer.strip()


def _collected(said: Iterator[tuple[Part, str]]) -> dict[str, str]:
    parts: dict[str, str] = {"thinking": "", "answer": ""}
    for part, text in said:
        parts[part] += text
    return {part: text.strip() for part, text in parts.items()}
