"""What a run shows: a ribbon of stages and a live line on a terminal, plain lines elsewhere.

Model text is hostile: it reaches the terminal only through `palestra.terminal.visible`, and never
as rich markup. Everything goes to stderr; stdout is for data.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from palestra.stages.base import Progress as Watcher
from palestra.terminal import visible

_SHOWN = (
    ("reward", "reward", "{:.2f}"),
    ("length", "length", "{:.0f}"),
    ("format", "format", "{:.0%}"),
    ("language_consistency", "language", "{:.0%}"),
    ("loss", "loss", "{:.3f}"),
    ("speed/tokens", "tokens/s", "{:.0f}"),
)
_PLAIN_EVERY_S = 5.0
_PLAIN_WIDTH = 130  # a file has no width; wide enough for the tables
_COMPLETION_EVERY_S = 12.0


class Display(Watcher, Protocol):
    """A watcher of steps that also shows the ends of stages and of the run."""

    def finished(self, name: str, evals: Mapping[str, Any]) -> None:
        """A stage ended."""
        ...

    def final(self, tables: Sequence[RenderableType]) -> None:
        """The run ended."""
        ...

    def close(self) -> None:
        """Give the terminal back."""
        ...


def make_display(stages: Sequence[str]) -> Display:
    """Return a live display on a terminal, plain lines elsewhere; only one process shows any."""
    if int(os.environ.get("RANK", "0")) > 0:
        return SilentDisplay()
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        return LiveDisplay(console, stages)
    return PlainDisplay(Console(stderr=True, highlight=False, width=_PLAIN_WIDTH), stages)


class SilentDisplay:
    """Shows nothing."""

    def stage(self, name: str, steps: int) -> None: ...

    def step(self, stage: str, step: int, metrics: Mapping[str, Any]) -> None: ...

    def activity(self, what: str) -> None: ...

    def completion(self, prompt: str, text: str, scores: Mapping[str, float]) -> None: ...

    def note(self, text: str) -> None: ...

    def finished(self, name: str, evals: Mapping[str, Any]) -> None: ...

    def final(self, tables: Sequence[RenderableType]) -> None: ...

    def close(self) -> None: ...


class PlainDisplay:
    """One line for each event, and one every few seconds for the steps."""

    def __init__(self, console: Console, stages: Sequence[str]) -> None:
        self._console, self._stages = console, list(stages)
        self._steps = 0
        self._stage_started = self._last_line = self._last_completion = time.monotonic()

    def stage(self, name: str, steps: int) -> None:
        """Begin a stage."""
        self._steps, self._stage_started = steps, time.monotonic()
        place = self._stages.index(name) + 1
        self.note(f"[{place}/{len(self._stages)}] {name}" + (f": {steps} steps" if steps else ""))

    def step(self, stage: str, step: int, metrics: Mapping[str, Any]) -> None:
        """Print the numbers of a step, but not more often than every few seconds."""
        now = time.monotonic()
        if now - self._last_line < _PLAIN_EVERY_S and step != self._steps:
            return
        self._last_line = now
        left = (now - self._stage_started) / step * (self._steps - step)
        self.note(f"  {stage} {step}/{self._steps}  {measures(metrics)}  {left:.0f} s left")

    def activity(self, what: str) -> None:
        """Print what begins."""
        self.note(f"  {what}")

    def completion(self, prompt: str, text: str, scores: Mapping[str, float]) -> None:
        """Print a completion now and then."""
        now = time.monotonic()
        if now - self._last_completion < _COMPLETION_EVERY_S:
            return
        self._last_completion = now
        self._console.print(sample(prompt, text, scores))

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(Text(visible(text)), soft_wrap=True)

    def finished(self, name: str, evals: Mapping[str, Any]) -> None:
        """Print what a stage ended with."""
        for env, measured in evals.items():
            self.note(f"  {name} {env}: {_accuracy(measured)}")

    def final(self, tables: Sequence[RenderableType]) -> None:
        """Print the tables of the whole run."""
        for table in tables:
            self._console.print(table)

    def close(self) -> None:
        """Nothing is held."""


class LiveDisplay(PlainDisplay):
    """The ribbon of stages, a bar with the time left, the live numbers and the last completion."""

    def __init__(self, console: Console, stages: Sequence[str]) -> None:
        super().__init__(console, stages)
        self._done: dict[str, str] = {}
        self._current = ""
        self._measures: Text = Text("")
        self._sample: Text = Text("")
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            auto_refresh=False,
        )
        self._task = self._bar.add_task("", total=None)
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render)
        self._live.start()

    def stage(self, name: str, steps: int) -> None:
        """Begin a stage: a new bar."""
        self._current, self._measures = name, Text("")
        self._bar.reset(self._task, description=name, total=steps or None)

    def step(self, stage: str, step: int, metrics: Mapping[str, Any]) -> None:
        """Move the bar and renew the numbers."""
        self._bar.update(self._task, completed=step, description=stage)
        self._measures = Text("  " + measures(metrics), style="cyan")

    def activity(self, what: str) -> None:
        """Say what goes on beside the steps."""
        self._measures = Text(f"  {what} …", style="dim")

    def completion(self, prompt: str, text: str, scores: Mapping[str, float]) -> None:
        """Show a completion, a new one every few seconds."""
        now = time.monotonic()
        if not self._sample or now - self._last_completion > _COMPLETION_EVERY_S / 3:
            self._last_completion = now
            self._sample = sample(prompt, text, scores)

    def finished(self, name: str, evals: Mapping[str, Any]) -> None:
        """Mark a stage as done, with its mean accuracy."""
        values = [e["pass@1"]["value"] for e in evals.values() if "pass@1" in e]
        self._done[name] = f" {sum(values) / len(values):.0%}" if values else ""

    def close(self) -> None:
        """Stop the live display; what it showed stays."""
        self._sample = Text("")
        self._live.stop()

    def _render(self) -> RenderableType:
        ribbon = Text(overflow="fold")
        for number, name in enumerate(self._stages):
            if number:
                ribbon.append(" › ", style="dim")
            if name in self._done:
                ribbon.append(f"✓ {name}{self._done[name]}", style="green")
            else:
                ribbon.append(name, style="bold" if name == self._current else "dim")
        return Group(ribbon, self._bar, self._measures, self._sample)


def measures(metrics: Mapping[str, Any]) -> str:
    """Return the few numbers of a step that people watch."""
    return "  ".join(
        f"{label} {form.format(metrics[key])}" for key, label, form in _SHOWN if key in metrics
    )


def sample(prompt: str, text: str, scores: Mapping[str, float]) -> Text:
    """Return a completion for a terminal: control characters visible, no markup read."""
    line = Text("  ", overflow="fold")
    line.append(visible(prompt)[:200], style="bold")
    line.append(" → ")
    line.append(visible(text).replace("\n", " ⏎ ")[:400], style="italic")
    line.append("  " + " ".join(f"{k}={v:g}" for k, v in scores.items()), style="dim")
    return line


def _accuracy(measured: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for key in ("pass@1", "lenient@1", "format", "language_consistency"):
        if key in measured:
            low, high = measured[key]["ci95"]
            parts.append(f"{key} {measured[key]['value']:.2f} [{low:.2f}, {high:.2f}]")
    return "  ".join(parts)
