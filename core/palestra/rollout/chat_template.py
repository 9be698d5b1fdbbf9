"""A chat template that prompts a model as one of our styles does, prefill included.

`palestra.rollout.prompting` renders for training; other people's software knows chat templates
alone. What comes out here is for them, and is checked against `Prompter` before it is used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from palestra.errors import ConfigError
from palestra.rollout.prompting import R1_ZERO, Prompter

if TYPE_CHECKING:
    from palestra.envs import Message

_ZERO = (
    "{{ " + json.dumps(R1_ZERO) + " }}{{ ' Tools: ' ~ (tools | tojson) if tools else '' }}"
    "{% for m in messages %}"
    "{{ ' ' ~ {'user': 'User: ', 'tool': 'Tool: ', 'assistant': 'Assistant:'}.get(m.role, '') }}"
    "{{ m.content }}{% endfor %}{{ ' Assistant:' if add_generation_prompt else '' }}"
)
_RAW = (
    "{{ 'Tools: ' ~ (tools | tojson) ~ '\\n' if tools else '' }}{% for m in messages %}"
    "{{ '\\n' if not loop.first and m.role != 'assistant' else '' }}{{ m.content }}{% endfor %}"
)
_PROBES: Sequence[list[Message]] = (
    [{"role": "user", "content": "How many are 2 and 3?\n\n  {{ x }} {% y %} 你好 "}],
    [
        {"role": "user", "content": "2+3?"},
        {"role": "assistant", "content": "<think>\n 5 </think><answer>5</answer>"},
        {"role": "user", "content": "And 4?\n"},
    ],
)


def chat_template(prompter: Prompter) -> str:
    """Return a Jinja chat template that gives the very tokens of ``prompter.open``.

    Raises:
        ConfigError: the style cannot be said as a chat template; tried on two conversations.
    """
    style, tokenizer = prompter.style, cast("Any", prompter.tokenizer)
    if style == "chat":
        body = cast("str", tokenizer.get_chat_template())
    elif style == "r1_zero":
        body = _begin(tokenizer) + _ZERO
    elif style == "raw":
        body = _begin(tokenizer) + _RAW
    else:
        body = _begin(tokenizer) + Path(style).read_text(encoding="utf-8")
    body = body.removesuffix("\n")  # Jinja drops a last new line, but not one in the middle
    if prompter.prefill:
        body += "{{ " + _literal(prompter.prefill) + " if add_generation_prompt else '' }}"
    _check(prompter, body)
    return body


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _begin(tokenizer: Any) -> str:
    """Return what writes the tokens that the tokenizer itself puts in front of a plain text."""
    plain = tokenizer.encode("x", add_special_tokens=False)
    whole = tokenizer.encode("x", add_special_tokens=True)
    before = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
    text = tokenizer.decode(whole[:before], skip_special_tokens=False) if before else ""
    return "{{ " + _literal(text) + " }}" if text else ""


def _check(prompter: Prompter, template: str) -> None:
    tokenizer = cast("Any", prompter.tokenizer)
    for messages in _PROBES:
        ids = tokenizer.apply_chat_template(
            [dict(m) for m in messages],
            chat_template=template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
        if tuple(ids) != prompter.open(messages):
            raise ConfigError(
                f"prompt '{prompter.style}' cannot be written as a chat template: it would give "
                "other tokens than the stage was trained with"
            )
