"""HTML that is escaped by default: a string is text, and only `tag` makes markup.

Model text may hold anything, so besides ``&<>"'`` every character that a browser would obey or hide
is written out: control characters as their pictures, bidirectional overrides, zero-width and
private ones as their code points. None can end a tag, reorder a line or hide an answer.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

_VOID = frozenset({"br", "col", "hr", "img", "input", "link", "meta", "wbr"})
_PLAIN = re.compile(r"[^\n\t\x20-\x7e]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9:-]*")


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that is safe to put on a page. Made by `tag`, `join` and `escape`, not by hand."""

    source: str

    def __str__(self) -> str:
        return self.source


Child: TypeAlias = "Html | str | int | float | Sequence[Child] | None"
"""What may stand inside a tag: markup, text, a number, several of these, or nothing."""


def is_hidden(char: str) -> bool:
    """Whether a browser would obey or hide `char` rather than show it."""
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def spell(char: str) -> str:
    """Return something visible for a hidden character: ``␛`` for ESC, else ``U+202E``."""
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"U+{code:04X}"


def visible(text: str) -> str:
    """Return `text` with its hidden characters, but for line ends and tabs, written out."""
    return _PLAIN.sub(lambda m: f"⟨{spell(m[0])}⟩" if is_hidden(m[0]) else m[0], text)


def escape(text: str) -> Html:
    """Return `text` as markup, its hidden characters in marked spans."""
    pieces: list[str] = []
    start = 0
    for match in _PLAIN.finditer(text):
        if is_hidden(match[0]):
            pieces.append(html.escape(text[start : match.start()]))
            pieces.append(f'<span class="ctl">{spell(match[0])}</span>')
            start = match.end()
    pieces.append(html.escape(text[start:]))
    return Html("".join(pieces))


def number(value: float) -> str:
    """Return a number as short as an attribute needs it."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def join(*children: Child) -> Html:
    """Return `children` one after another; text is escaped."""
    return Html("".join(_render(child) for child in children))


def tag(
    name: str, /, *children: Child, cls: str | None = None, **attributes: str | float | None
) -> Html:
    """Return an element.

    Args:
        name: the element's name; ours, never a model's.
        children: what stands in it; text is escaped.
        cls: the attribute ``class``.
        attributes: further attributes, underscores standing for hyphens; None leaves one out.
    """
    named = {"class": cls, **{key.replace("_", "-"): value for key, value in attributes.items()}}
    if not all(map(_NAME.fullmatch, (name, *named))):
        raise ValueError(f"not a name of HTML: {name} {list(named)}")
    written = "".join(
        f' {key}="{html.escape(visible(value) if isinstance(value, str) else number(value))}"'
        for key, value in named.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def _render(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child.source
    if isinstance(child, str):
        return escape(child).source
    if isinstance(child, int | float):
        return number(child)
    return "".join(map(_render, child))
