"""From messages to tokens: the only place where conversations are rendered.

A conversation grows append-only: the sampler's own token ids are kept, and only the tokens of the
new observation are added behind them.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from palestra.envs import Message
from palestra.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

R1_ZERO = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves "
    "it. The assistant first thinks about the reasoning process in the mind and then provides the "
    "user with the answer. The reasoning process and answer are enclosed within <think> </think> "
    "and <answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> "
    "<answer> answer here </answer>."
)
"""The template of DeepSeek-R1-Zero (arXiv 2501.12948, Table 1)."""

STYLES = ("chat", "r1_zero", "raw")


Tools = Sequence[Mapping[str, object]]


class _Render(Protocol):
    def __call__(self, messages: Sequence[Message], tools: Tools) -> str: ...


class Prompter:
    """Renders conversations for one model.

    Args:
        tokenizer: the model's own.
        style: ``chat`` (the tokenizer's chat template), ``r1_zero``, ``raw`` (the text alone), or
            the path of a Jinja template that is given ``messages`` and ``tools``.
        prefill: text that opens the policy's turn; graders see it as part of the action.
        more_stops: tokens that end a turn, beside the tokenizer's end token (some models name the
            end of a turn in their generation config alone).

    Raises:
        ConfigError: the style is unknown, or the model has no chat template.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        style: str = "chat",
        prefill: str = "",
        more_stops: Sequence[int] = (),
    ) -> None:
        self.tokenizer = tokenizer
        self.prefill = prefill
        self.style = style
        self._render = _renderer(tokenizer, style)
        self.stop_token_ids = tuple(sorted({*stop_token_ids(tokenizer), *more_stops}))

    def text(self, messages: Sequence[Message], tools: Tools = ()) -> str:
        """Return the prompt as the model sees it, prefill included."""
        return self._render(messages, tools) + self.prefill

    def open(self, messages: Sequence[Message], tools: Tools = ()) -> tuple[int, ...]:
        """Return the tokens of a conversation that waits for the policy.

        Args:
            messages: the conversation so far.
            tools: schemas of the tools that the policy may call, as chat templates take them.

        Raises:
            ConfigError: there are tools, and the template has no place for them.
        """
        # A chat template writes its own begin token; elsewhere the tokenizer adds it.
        text = self.text(messages, tools)
        ids = self.tokenizer.encode(text, add_special_tokens=self.style != "chat")
        while len(ids) > 1 and ids[-1] in self.stop_token_ids and self.style != "chat":
            ids = ids[:-1]
        return tuple(ids)

    def action(self, completion_ids: Sequence[int]) -> str:
        """Return the policy's turn as graders see it: prefill and tokens, special ones kept.

        Only the final stop token is dropped.
        """
        ids = list(completion_ids)
        if ids and ids[-1] in self.stop_token_ids:
            ids.pop()
        text = self.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return self.prefill + str(text)

    def token_at(self, completion_ids: Sequence[int], char_end: int) -> int:
        """Return the place of the token in which the first `char_end` characters of a turn end.

        Args:
            completion_ids: the policy's tokens of the turn.
            char_end: a place in what `action` returns; one within the prefill is the first token's.
        """
        head = self.action(completion_ids)[:char_end]

        def is_there(count: int) -> bool:
            return self.action(completion_ids[:count])[:char_end] == head

        count = bisect_left(range(len(completion_ids)), True, key=is_there)
        return max(0, min(count, len(completion_ids)) - 1)

    def extend(
        self, messages: Sequence[Message], tools: Tools = (), *, ended: bool
    ) -> tuple[int, ...]:
        """Return the tokens to append for the last message, so that the policy may speak again.

        Args:
            messages: the conversation, its last two the policy's turn and the observation.
            tools: as `open` had them.
            ended: whether the policy ended its turn with a stop token, which is there already.

        Raises:
            ConfigError: the template rewrites what came before (some drop earlier thoughts).
        """
        action, after = messages[-2]["content"], self.text(messages, tools)
        before = self._render(messages[:-2], tools)
        # Some templates trim white space; the sampled tokens keep it, and only the tail is used.
        heads = [before + said for said in (action, action.rstrip(), action.strip())]
        head = next((head for head in heads if after.startswith(head)), None)
        if head is None:
            raise ConfigError(
                f"prompt '{self.style}' is not append-only: it renders earlier turns differently "
                "once a new one is added, so their tokens and log-probs would no longer match. "
                "Use another template for environments of several turns"
            )
        ids = list(self.tokenizer.encode(after[len(head) :], add_special_tokens=False))
        if ended and ids and ids[0] in self.stop_token_ids:  # the template closes the turn too
            ids = ids[1:]
        return tuple(ids)


def stop_token_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the tokens that end a turn.

    Raises:
        ConfigError: the tokenizer names no end token.
    """
    eos = cast("int | list[int] | None", tokenizer.eos_token_id)
    if eos is None:
        raise ConfigError(
            "the model's tokenizer has no end token (eos_token): nothing could end a turn. "
            "Set eos_token in its tokenizer_config.json"
        )
    return tuple(sorted({*(eos if isinstance(eos, list) else [eos])}))


def _renderer(tokenizer: PreTrainedTokenizerBase, style: str) -> _Render:
    if style == "chat":
        if not tokenizer.chat_template:
            raise ConfigError(
                "prompt: chat, but the model has no chat template. "
                f"Use one of: {', '.join(STYLES[1:])}, or FILE.jinja"
            )
        return _chat(tokenizer)
    if style == "r1_zero":
        return _r1_zero
    if style == "raw":
        return _raw
    if style.endswith(".jinja"):
        return _from_file(Path(style))
    raise ConfigError(f"no prompt style '{style}'.{did_you_mean(style, STYLES)}")


def _chat(tokenizer: PreTrainedTokenizerBase) -> _Render:
    from jinja2 import TemplateError

    def written(messages: Sequence[Message], tools: Tools) -> str:
        try:
            text = tokenizer.apply_chat_template(
                [cast("dict[str, str]", dict(m)) for m in messages],
                tools=[dict(tool) for tool in tools] or None,
                tokenize=False,
                add_generation_prompt=True,
            )
        except TemplateError as exc:
            raise ConfigError(f"prompt: chat, but the model's chat template says: {exc}") from exc
        return str(text)

    def render(messages: Sequence[Message], tools: Tools) -> str:
        text = written(messages, tools)
        if tools and text == written(messages, ()):
            raise ConfigError(
                "prompt: chat, but the model's chat template has no place for tools. Use r1_zero, "
                "raw, or FILE.jinja with {{ tools }} in it"
            )
        return text

    return render


def _r1_zero(messages: Sequence[Message], tools: Tools) -> str:
    names = {"user": "User", "tool": "Tool"}
    parts = [R1_ZERO, *_listed(tools)]
    for message in messages:
        if message["role"] == "system":
            parts.append(message["content"])
        elif message["role"] == "assistant":  # right behind the colon, where the policy wrote it
            parts.append(f"Assistant:{message['content']}")
        else:
            parts.append(f"{names[message['role']]}: {message['content']}")
    return " ".join([*parts, "Assistant:"])


def _listed(tools: Tools) -> list[str]:
    """Return one text of all tools, where a template is ours and there are any."""
    if not tools:
        return []
    return ["Tools: " + json.dumps([dict(tool) for tool in tools], ensure_ascii=False)]


def _raw(messages: Sequence[Message], tools: Tools) -> str:
    """Join the texts by new lines; the policy's own follow what they answer, as it wrote them."""
    text = "".join(f"{line}\n" for line in _listed(tools))
    for number, message in enumerate(messages):
        joint = "\n" if number and message["role"] != "assistant" else ""
        text += joint + message["content"]
    return text


def _from_file(path: Path) -> _Render:
    from jinja2 import TemplateError, TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        template = ImmutableSandboxedEnvironment().from_string(path.read_text(encoding="utf-8"))
    except TemplateSyntaxError as exc:
        raise ConfigError(f"prompt: {path}:{exc.lineno}: {exc.message}") from exc
    except OSError as exc:
        raise ConfigError(f"prompt: no file {path}") from exc

    def render(messages: Sequence[Message], tools: Tools) -> str:
        try:
            return template.render(
                messages=list(messages), tools=list(tools), add_generation_prompt=True
            )
        except (TemplateError, TypeError, ValueError) as exc:
            raise ConfigError(f"prompt: {path}: {exc}") from exc

    return render
