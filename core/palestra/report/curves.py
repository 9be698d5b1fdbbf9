"""A stage's training curves: inline SVG for the page, one PNG beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import Json, number, pooled
from palestra.report.data import StageData
from palestra.report.html import Html, tag, visible

Point = tuple[float, float]

_CHARTS = (
    ("Reward", ("reward", "reward/*"), None),
    ("Reward and gold reward", ("watch/proxy", "watch/gold"), None),
    ("Length, tokens", ("length",), None),
    ("Format", ("format",), (0.0, 1.0)),
    ("Language consistency", ("language_consistency",), (0.0, 1.0)),
    ("Entropy", ("entropy",), None),
    ("KL to the reference", ("kl",), None),
    ("Clip share", ("clip_share",), None),
    ("Gradient norm", ("grad_norm",), None),
    ("Loss", ("loss",), None),
    ("Learning rate", ("learning_rate",), None),
    ("Tokens a second", ("speed/tokens", "speed/generated", "speed/trained"), None),
    ("Model FLOPs utilisation", ("speed/mfu", "speed/mfu_generate", "speed/mfu_train"), None),
    ("Peak memory, MB", ("memory/rss_mb", "memory/gpu_mb"), None),
)
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 320, 150, 46, 10, 10, 22
_MOST_POINTS = 300
_SMOOTHED_FROM = 20
_MOST_OTHERS = 24
_COLOURS = ("#a8471f", "#1f1d1a", "#8a8378", "#d9a58a", "#4f6d7a")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a chart; `measures`, where given, adds an interval to each point."""

    label: str
    points: list[Point]
    measures: list[Measure] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart of a stage: its title, lines and, where they are fixed, its limits."""

    title: str
    series: list[Series]
    limits: tuple[float, float] | None = None


def charts_of(stage: StageData) -> list[Chart]:
    """Return the charts a stage has numbers for: the known ones in their order."""
    held_out = _held_out(stage.evals)
    charts = [Chart(title="Held-out pass@1", series=held_out, limits=(0, 1))] if held_out else []
    for title, patterns, limits in _CHARTS:
        series = [_series(stage.metrics, key) for key in _matching(stage.metrics, patterns)]
        series = [line for line in series if line.points]
        if series:
            charts.append(Chart(title=title, series=series, limits=limits))
    return charts


def other_charts(stage: StageData) -> list[Chart]:
    """Return a chart for every other number in the stage's rows, at most 24."""
    known = {key for _, patterns, _ in _CHARTS for key in patterns} | {"step"}
    keys = sorted({key for row in stage.metrics for key in row} - known)
    elsewhere = ("reward/", "seconds/")
    lines = [_series(stage.metrics, key) for key in keys if not key.startswith(elsewhere)]
    kept = [line for line in lines if line.points][:_MOST_OTHERS]
    return [Chart(title=line.label, series=[line]) for line in kept]


def _matching(rows: Sequence[Json], patterns: Sequence[str]) -> list[str]:
    keys = {key for row in rows for key in row}
    plain = [key for key in patterns if key in keys]
    prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    return plain + sorted(key for key in keys if prefixes and key.startswith(prefixes))


def _series(rows: Sequence[Json], key: str) -> Series:
    """Read one key of the rows against their step, without what is missing or not finite."""
    points: list[Point] = []
    for place, row in enumerate(rows):
        step, value = number(row.get("step")), number(row.get(key))
        if value is not None:
            points.append((float(place) if step is None else step, value))
    return Series(label=key, points=points)


def _held_out(rows: Sequence[Json]) -> list[Series]:
    """Return strict and lenient pass@1 of the evaluations during training."""
    lines: list[Series] = []
    for key, label in (("pass@1", "strict"), ("lenient@1", "lenient")):
        read = [(number(row.get("step")), pooled(row.get("evals"), key)) for row in rows]
        found = [(step, value) for step, value in read if step is not None and value is not None]
        if found:
            points = [(step, value.value) for step, value in found]
            lines.append(Series(label=label, points=points, measures=[v for _, v in found]))
    return lines


def smooth(points: Sequence[Point]) -> list[Point]:
    """Return a centred moving average over a twelfth of the points; short lines as they are."""
    if len(points) < _SMOOTHED_FROM:
        return list(points)
    half = max(1, len(points) // 24)
    averaged: list[Point] = []
    for i, (step, _) in enumerate(points):
        window = [value for _, value in points[max(0, i - half) : i + half + 1]]
        averaged.append((step, math.fsum(window) / len(window)))
    return averaged


def thin(points: Sequence[Point]) -> list[Point]:
    """Average neighbours until at most 300 points are left: a chart has no more pixels."""
    size = -(-len(points) // _MOST_POINTS)
    if size <= 1:
        return list(points)
    chunks = [points[i : i + size] for i in range(0, len(points), size)]
    return [(c[0][0], math.fsum(value for _, value in c) / len(c)) for c in chunks]


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return round numbers from `low` to `high`, about `count` of them."""
    raw = (high - low) / count
    if not math.isfinite(raw) or raw <= 0:
        return [low]
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next(f * magnitude for f in (1, 2, 2.5, 5, 10) if f * magnitude >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Frame:
    """Maps a chart's numbers to its pixels."""

    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def around(cls, chart: Chart) -> Frame:
        steps = [step for line in chart.series for step, _ in line.points]
        values = [value for line in chart.series for _, value in line.points]
        low, high = chart.limits or (min(values), max(values))
        low, high = min(low, *values), max(high, *values)
        if chart.limits is None:
            margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
            low, high = low - margin, high + margin
        first, last = min(steps), max(steps)
        return cls((first, last if last > first else first + 1), (low, high))

    def at(self, point: Point) -> tuple[float, float]:
        across = (point[0] - self.x[0]) / (self.x[1] - self.x[0])
        up = (point[1] - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (
            HEIGHT - TOP - BOTTOM
        )


def figure(chart: Chart) -> Html:
    """Return a chart as a figure: title with the last value, legend, inline SVG."""
    frame = Frame.around(chart)
    parts: list[Html] = [grid(frame)]
    for place, line in enumerate(chart.series):
        points = thin(line.points)
        if place == 0 and len(points) >= _SMOOTHED_FROM:
            parts.append(_path(frame, points, "raw"))
        parts.append(_path(frame, smooth(points), f"line s{min(place, 4)}"))
        parts += _marks(frame, line, place)
    drawing = tag(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{chart.title} by step",
    )
    last = f"{chart.series[0].points[-1][1]:.4g}"
    caption = tag("figcaption", tag("b", chart.title), tag("span", last, cls="last"))
    return tag("figure", caption, _legend(chart), drawing)


def grid(frame: Frame) -> Html:
    """Return the lines across a chart, and the numbers on both axes."""
    parts: list[Html] = []
    for value in ticks(*frame.y):
        _, y = frame.at((frame.x[0], value))
        parts.append(tag("path", d=f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}", cls="grid"))
        parts.append(tag("text", f"{value:.4g}", x=LEFT - 6, y=y + 3.5, cls="tick y"))
    for value in (step for step in ticks(*frame.x) if step == int(step)):
        x, _ = frame.at((value, frame.y[0]))
        parts.append(tag("text", f"{value:.0f}", x=x, y=HEIGHT - 6, cls="tick x"))
    return tag("g", *parts)


def _path(frame: Frame, points: Sequence[Point], kind: str) -> Html:
    places = [frame.at(point) for point in points]
    if len(places) == 1:
        return tag("circle", cx=places[0][0], cy=places[0][1], r=2.5, cls=f"{kind} mark")
    return tag("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places), cls=kind)


def _marks(frame: Frame, line: Series, place: int) -> list[Html]:
    """Return a dot and an interval for each point of a line that has measures."""
    marks: list[Html] = []
    for (step, value), measure in zip(line.points, line.measures or (), strict=False):
        x, y = frame.at((step, value))
        ends = [frame.at((step, min(max(b, frame.y[0]), frame.y[1])))[1] for b in measure.ci95]
        marks.append(
            tag("path", d=f"M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}", cls=f"whisker s{place}")
        )
        said = tag("title", f"step {step:.0f}: {100 * value:.1f}%")
        marks.append(tag("circle", said, cx=x, cy=y, r=2.5, cls=f"line s{place} mark"))
    return marks


def _legend(chart: Chart) -> Html | None:
    if len(chart.series) < 2:
        return None
    items = [
        tag(
            "span",
            tag("svg", tag("path", d="M0 4H18", cls=f"line s{min(i, 4)}"), viewBox="0 0 18 8"),
            line.label.removeprefix("reward/") if i else line.label,
        )
        for i, line in enumerate(chart.series)
    ]
    return tag("div", *items, cls="legend")


def write_png(stage: StageData, path: Path) -> bool:
    """Draw a stage's curves into one PNG; False without any, or without matplotlib."""
    charts = charts_of(stage)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not charts:
        return False
    columns = min(3, len(charts))
    rows = -(-len(charts) // columns)
    width, height = 3.8 * columns, 2.3 * rows + 0.4
    drawing = Figure(figsize=(width, height), dpi=100)
    # fixed margins in inches: a fitted layout would draw everything three times
    drawing.subplots_adjust(
        left=0.55 / width,
        right=1 - 0.15 / width,
        bottom=0.3 / height,
        top=1 - 0.65 / height,
        wspace=0.24,
        hspace=0.34,
    )
    FigureCanvasAgg(drawing)
    drawing.suptitle(_for_png(stage.name), fontsize=11, y=1 - 0.2 / height)
    for place, chart in enumerate(charts, start=1):
        axes = drawing.add_subplot(rows, columns, place)
        axes.set_title(_for_png(chart.title), fontsize=9, loc="left")
        for line, colour in zip(chart.series, cycle(_COLOURS), strict=False):
            points = thin(line.points)
            label = _for_png(line.label)
            axes.plot(*zip(*points, strict=True), linewidth=0.8, alpha=0.3, color=colour)
            axes.plot(*zip(*smooth(points), strict=True), linewidth=1.5, color=colour, label=label)
        if chart.limits:
            axes.set_ylim(-0.03, 1.03)
        if len(chart.series) > 1:
            axes.legend(fontsize=7, frameon=False)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path)
    return True


def _for_png(text: str) -> str:
    """Return text that matplotlib neither reads as mathematics nor hides from a legend."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in visible(text))
    return plain.replace("$", r"\$").lstrip("_")[:60]
