"""What a run shows, on a terminal and elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from palestra.recipe.progress import LiveDisplay, PlainDisplay, sample

HOSTILE = "[/think] \x1b[31m [bold]x[/bold] \u202e evil"


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, highlight=False)


def play(display: PlainDisplay) -> None:
    """One run of two stages, the second without steps."""
    display.stage("zero", 2)
    for step in (1, 2):
        display.step("zero", step, {"reward": 0.5, "length": 30.0, "format": 0.9})
        display.completion("What is 1+1?", HOSTILE, {"accuracy": 1.0})
    display.activity("evaluating zero")
    display.finished("zero", {"e/E-v1": {"pass@1": {"value": 0.5, "ci95": [0.4, 0.6], "n": 9}}})
    display.stage("evaluate", 0)
    display.activity("evaluating evaluate")
    display.finished("evaluate", {})
    display.close()


def test_a_live_display_draws_every_kind_of_stage() -> None:
    screen = console(terminal=True)
    display = LiveDisplay(screen, ["zero", "evaluate"])
    screen.print(display._render())  # before anything began
    display.stage("zero", 2)
    display.step("zero", 1, {"reward": 0.5})
    display.completion("q", HOSTILE, {})
    screen.print(display._render())
    play(display)
    out = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "zero 50%" in out
    assert "1/2" in out


def test_plain_lines_elsewhere() -> None:
    screen = console(terminal=False)
    play(PlainDisplay(screen, ["zero", "evaluate"]))
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "[1/2] zero: 2 steps"
    assert any("zero 2/2  reward 0.50  length 30  format 90%" in line for line in lines)
    assert any("pass@1 0.50 [0.40, 0.60]" in line for line in lines)


def test_model_text_is_never_markup_nor_a_control_sequence() -> None:
    screen = console(terminal=True)
    screen.print(sample("[/x]", HOSTILE, {}))
    out = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "[/think]" in out
    assert "[bold]x[/bold]" in out
    assert "\x1b[31m" not in out
    assert "\u202e" not in out
