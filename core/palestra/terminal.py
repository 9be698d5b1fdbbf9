"""Model and plugin text for a terminal: nothing in it may act, hide or reorder."""

from __future__ import annotations

import unicodedata

_NAMED = {"\x1b": "␛", "\r": "␍", "\x00": "␀", "\x07": "␇", "\x08": "␈", "\x7f": "␡"}


def visible(text: str) -> str:
    r"""Return `text` with control, format and bidirectional characters made visible.

    Line feeds and tabs stay. Others show as a symbol or as ``\u202e``. Print the result as plain
    text (`rich.text.Text`): rich reads ``[/x]`` in a string as markup.
    """
    return "".join(c if c in "\n\t" or c.isprintable() else _shown(c) for c in text)


def _shown(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    code = ord(character)
    if unicodedata.category(character) == "Zs":
        return " "
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
