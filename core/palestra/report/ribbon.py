"""The stage ribbon: the run's stages as a tree, drawn from where each took its weights.

Boxes are numbered in the order they ran. Those on one line continue one another; a branch goes back
to an earlier model, as R1's SFT goes back to the base model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palestra.evaluation.pooling import pooled, record
from palestra.report.data import StageData
from palestra.report.html import Html, tag
from palestra.report.tables import before_of, init_stage, written

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _EDGE = 186, 84, 46, 18, 4


@dataclass(slots=True)
class _Node:
    """A box: a stage, or (without one) a model that came from outside the run."""

    label: str
    stage: StageData | None
    parent: _Node | None = None
    column: int = 0
    row: int = 0

    @property
    def x(self) -> int:
        return _EDGE + self.column * (_WIDTH + _GAP_X)

    @property
    def y(self) -> int:
        return _EDGE + self.row * (_HEIGHT + _GAP_Y)


def ribbon(stages: Sequence[StageData]) -> Html:
    """Return the ribbon as inline SVG, wider than a phone and scrolled there."""
    if not stages:
        return tag("p", "No stage has started yet.", cls="empty")
    nodes = _tree(stages)
    width = max(node.x for node in nodes) + _WIDTH + _EDGE
    height = max(node.y for node in nodes) + _HEIGHT + _EDGE
    drawing = tag(
        "svg",
        [_edge(node, node.parent) for node in nodes if node.parent is not None],
        [_box(node, stages) for node in nodes],
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label="Stages of the run and the model each began from",
    )
    return tag("div", drawing, cls="scroll ribbon", tabindex=0)


def _tree(stages: Sequence[StageData]) -> list[_Node]:
    """Return the boxes in their places: a column for each generation, a row for each branch."""
    nodes: dict[int, _Node] = {}
    outside: dict[str, _Node] = {}
    for stage in stages:
        node = nodes[stage.number] = _Node(stage.name, stage)
        origin = init_stage(stage, stages)
        name = stage.fact("init_from")
        if origin is not None:
            node.parent = nodes[origin.number]
        elif name:
            node.parent = outside.setdefault(name, _Node(name, None))
    found = [*outside.values(), *nodes.values()]
    everyone = sorted(found, key=lambda node: _first_number(node, found))
    row = 0
    for root in everyone:
        if root.parent is None:
            row = _place(root, everyone, 0, row)
    return everyone


def _first_number(node: _Node, everyone: Sequence[_Node]) -> float:
    """Return a stage's number; for a model from outside, just before its first descendant's."""
    if node.stage is not None:
        return node.stage.number
    children = [n.stage.number for n in everyone if n.parent is node and n.stage is not None]
    return min(children, default=0) - 0.5


def _place(node: _Node, everyone: Sequence[_Node], column: int, row: int) -> int:
    """Place `node` and its descendants from `row` on; return the next free row."""
    node.column, node.row = column, row
    free = row
    for child in everyone:
        if child.parent is node:
            free = _place(child, everyone, column + 1, free)
    return max(free, row + 1)


def _edge(node: _Node, parent: _Node) -> Html:
    """Return the line from a box's parent, with an arrow head at the box."""
    x, y = node.x, node.y + _HEIGHT // 2
    start_x, start_y = parent.x + _WIDTH, parent.y + _HEIGHT // 2
    bend = start_x + 14
    if y == start_y:
        path = f"M{start_x} {start_y}H{x - 6}"
    else:
        path = f"M{start_x} {start_y}H{bend - 6}Q{bend} {start_y} {bend} {start_y + 6}"
        path += f"V{y - 6}Q{bend} {y} {bend + 6} {y}H{x - 6}"
    kind = "edge restart" if _restarts(node) else "edge"
    head = tag("path", d=f"M{x - 8} {y - 4}L{x - 1} {y}L{x - 8} {y + 4}Z", cls="head")
    return tag("g", tag("path", d=path, cls="line"), head, cls=kind)


def _restarts(node: _Node) -> bool:
    """Whether a stage went back to the base model although others had been trained."""
    stage, parent = node.stage, node.parent
    if stage is None or parent is None or parent.stage is None:
        return False
    return parent.stage.facts.get("role") == "base" and stage.number > parent.stage.number + 1


def _box(node: _Node, stages: Sequence[StageData]) -> Html:
    """Return one box: number and name, role and type, origin, accuracy before and after."""
    stage = node.stage
    if stage is None:
        lines = [
            _line(node, 30, _short(node.label, 22), "name"),
            _line(node, 50, "a given model", "note"),
        ]
        return tag("g", _frame(node, "box outside"), *lines)
    words = [word for word in (stage.fact("role"), stage.fact("type")) if word]
    origin = stage.fact("init_from")
    came = (
        f"↺ restarts from {origin}" if _restarts(node) else f"from {origin}" if origin else "start"
    )
    lines = [
        _line(node, 20, _short(f"{stage.number}  {stage.name}", 24), "name"),
        _line(node, 36, _short(" · ".join(dict.fromkeys(words)), 30), "note"),
        _line(node, 52, _short(came, 30), "note came"),
        _line(node, 73, *_change(stage, stages)),
    ]
    kind = "box restart" if _restarts(node) else "box"
    title = tag("title", f"{stage.number} {stage.name}: {came}")
    return tag("a", tag("g", title, _frame(node, kind), *lines), href=f"#{stage.slug}")


def _change(stage: StageData, stages: Sequence[StageData]) -> tuple[str, str]:
    """Return the strict pass@1 before and after a stage, and how to write it."""
    after = pooled(stage.facts.get("evals"), "pass@1")
    if after is None:
        state = "not evaluated" if stage.finished else "unfinished"
        return state, "note"
    before = (
        pooled(before_of(stage, stages), "pass@1") if record(before_of(stage, stages)) else None
    )
    if before is None:
        return f"pass@1 {written('pass@1', after)}%", "change"
    return f"pass@1 {written('pass@1', before)} → {written('pass@1', after)}%", "change"


def _frame(node: _Node, kind: str) -> Html:
    return tag("rect", x=node.x, y=node.y, width=_WIDTH, height=_HEIGHT, rx=7, cls=kind)


def _line(node: _Node, down: int, text: str, kind: str) -> Html:
    return tag("text", text, x=node.x + 12, y=node.y + down, cls=kind)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
