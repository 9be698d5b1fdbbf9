"""Where the time of a stage's steps went: a stacked chart, inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from palestra.evaluation.pooling import Json, number
from palestra.report.curves import HEIGHT, WIDTH, Chart, Frame, Point, Series, grid, thin
from palestra.report.data import StageData
from palestra.report.html import Html, tag

_PREFIX = "seconds/"
_ORDER = ("backward", "generate", "grade", "logprobs", "sync", "wait", "other")


def phases_figure(stage: StageData) -> Html | None:
    """Return the seconds of each step, stacked by phase; None where the rows have no phases.

    The legend gives each phase's share of the whole stage.
    """
    rows = [row for row in stage.metrics if any(key.startswith(_PREFIX) for key in row)]
    names = _names(rows)
    if not names:
        return None
    steps = [number(row.get("step")) or 0.0 for row in rows]
    layers = [[number(row.get(_PREFIX + name)) or 0.0 for row in rows] for name in names]
    thinned = [thin(list(zip(steps, layer, strict=True))) for layer in layers]
    tops = _stacked(thinned)
    whole = Series(label="", points=[*tops[-1], (tops[-1][0][0], 0.0)])
    frame = Frame.around(Chart(title="", series=[whole], limits=(0.0, _highest(tops[-1]))))
    floor: list[Point] = [(step, 0.0) for step, _ in tops[0]]
    areas = [
        _area(frame, below, top, place)
        for place, (below, top) in enumerate(zip([floor, *tops], tops, strict=False))
    ]
    label = "Seconds of a step by phase"
    drawing = tag(
        "svg", areas, grid(frame), viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label
    )
    total = f"{math.fsum(layer[-1] for layer in layers):.3g} s"
    caption = tag("figcaption", tag("b", label), tag("span", total, cls="last"))
    return tag("figure", caption, _legend(names, layers), drawing, cls="phases")


def _names(rows: Sequence[Json]) -> list[str]:
    """Return the phases that took any time, the known ones first, in their order."""
    found = {
        key.removeprefix(_PREFIX)
        for row in rows
        for key, value in row.items()
        if key.startswith(_PREFIX) and number(value)
    }
    return [name for name in _ORDER if name in found] + sorted(found - {*_ORDER})


def _stacked(layers: Sequence[Sequence[Point]]) -> list[list[Point]]:
    """Return each layer's upper edge."""
    tops: list[list[Point]] = []
    for layer in layers:
        below = tops[-1] if tops else [(step, 0.0) for step, _ in layer]
        tops.append([(s, low + value) for (s, value), (_, low) in zip(layer, below, strict=True)])
    return tops


def _highest(points: Sequence[Point]) -> float:
    return max(value for _, value in points) * 1.05 or 1.0


def _area(frame: Frame, below: Sequence[Point], top: Sequence[Point], place: int) -> Html:
    if len(top) == 1:  # one step: a bar as wide as the chart
        (step, high), (_, low) = top[0], below[0]
        top, below = [(step, high), (step + 1, high)], [(step, low), (step + 1, low)]
    edge = [frame.at(point) for point in (*top, *reversed(below))]
    outline = "L".join(f"{x:.1f} {y:.1f}" for x, y in edge)
    return tag("path", d=f"M{outline}Z", cls=f"area a{min(place, 6)}")


def _legend(names: Sequence[str], layers: Sequence[Sequence[float]]) -> Html:
    sums = [math.fsum(layer) for layer in layers]
    whole = math.fsum(sums) or 1.0
    items = [
        tag(
            "span",
            tag("svg", tag("path", d="M0 0H18V8H0Z", cls=f"area a{min(i, 6)}"), viewBox="0 0 18 8"),
            f"{name} {100 * seconds / whole:.0f}%",
        )
        for i, (name, seconds) in enumerate(zip(names, sums, strict=True))
    ]
    return tag("div", *items, cls="legend")
