"""Text of models and plugins cannot act on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from palestra.terminal import one_line, visible

HOSTILE = {
    "title of the window": "\x1b]0;owned\x07",
    "colour": "\x1b[31mred",
    "eight-bit CSI": "\x9b2J",
    "over the line": "good\rbad ",
    "backspace": "no\b\byes",
    "override": "abc\u202edef",
    "isolate": "\u2066x\u2069",
    "mark": "\u200f\u061c",
    "zero width": "pass\u200bword\ufeff",
    "line separator": "a\u2028b\u0085c",
    "surrogate": "\ud800",
    "tag characters": "\U000e0041",
    "rich markup": "[/think][bold red]x[/]",
    "private use": "\ue000",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_is_shown_prints_and_can_be_encoded(text: str):
    shown = visible(text)
    assert all(character.isprintable() for character in shown)
    shown.encode("utf-8")
    stream = io.StringIO()
    Console(file=stream, width=200).print(Text(shown))
    assert stream.getvalue() == shown + "\n"


def test_every_character_that_is_not_printable_leaves_a_trace():
    for code in (*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x200B, 0x202E, 0xFEFF, 0x10FFFF):
        if chr(code) not in "\n\t":
            assert visible(chr(code)) not in ("", " ", chr(code)), hex(code)


def test_people_s_text_stays_as_it_is():
    for text in ("x\ty\nz", "é 你好\u3000！", "😀", "[/think]", "a\u00a0b"):
        assert visible(text) == text


def test_one_line_has_no_line_break():
    assert one_line("a\n b\t\u2028\x00c") == "a b ␀c"
