"""Text that a model or a plugin wrote, made safe to print on a terminal."""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    r"""Return `text` with everything that a terminal would obey, or hide, made visible.

    Control characters become their pictures (``␛`` for escape), and the rest that does not print,
    the characters that turn the direction of writing among them, becomes ``\u202e``. New lines,
    tabs and spaces of any width stay. Nothing in the result is markup, so never hand it to a
    function that reads markup: with rich, wrap it in `rich.text.Text`.
    """
    if text.isprintable():
        return text
    return "".join(map(_visible_character, text))


def one_line(text: str) -> str:
    """Return `visible` text with its white space squeezed, for a cell of a table."""
    return visible(" ".join(text.split()))


def _visible_character(character: str) -> str:
    if character in "\n\t" or character.isprintable():
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if unicodedata.category(character) == "Zs":
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
