"""The page's tables: claims with their verdicts, and the stages' evaluations."""

from __future__ import annotations

from collections.abc import Sequence

from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import (
    Json,
    is_reasoning,
    lookup,
    number,
    pooled,
    record,
)
from palestra.report.data import StageData
from palestra.report.html import Html, join, tag

VERDICTS = {"reproduced": "✓", "not reproduced": "✕", "inconclusive": "≈"}
"""Each verdict with its sign."""

_SHARES = ("pass@1", "lenient@1")
_AFTER = ("greedy", "format", "language_consistency", "mean_length")
HEADINGS = {
    "pass@1": "pass@1 strict",
    "lenient@1": "pass@1 lenient",
    "language_consistency": "language",
    "mean_length": "length",
}
"""What a measure is called where people read it."""


def written(key: str, value: Measure | None) -> str:
    """Return a measure's value: a share in percent, a length in tokens."""
    if value is None:
        return "–"
    return f"{value.value:.1f}" if key == "mean_length" else f"{100 * value.value:.1f}"


def interval(key: str, value: Measure) -> str:
    """Return a measure's interval in the unit of `written`."""
    scale = 1 if key == "mean_length" else 100
    return f"{scale * value.ci95[0]:.1f}–{scale * value.ci95[1]:.1f}"


def before_of(stage: StageData, stages: Sequence[StageData]) -> object:
    """Return the evals of the model a stage began from: recorded, or its init stage's own."""
    if record(stage.facts.get("before")):
        return stage.facts.get("before")
    origin = init_stage(stage, stages)
    return origin.facts.get("evals") if origin else None


def init_stage(stage: StageData, stages: Sequence[StageData]) -> StageData | None:
    """Return the earlier stage that a stage began from; ``base`` also names the role."""
    origin = stage.facts.get("init_from")
    earlier = [other for other in stages if other.number < stage.number]
    by_name = next((other for other in earlier if other.name == origin), None)
    if by_name is None and origin == "base":
        return next((other for other in earlier if other.facts.get("role") == "base"), None)
    return by_name


def badge(verdict: str) -> Html:
    """Return a verdict as a badge; whatever else a file says there is shown as it is."""
    kind = verdict.replace(" ", "-") if verdict in VERDICTS else "inconclusive"
    sign = tag("span", VERDICTS.get(verdict, "?"), cls="sign", aria_hidden="true")
    return tag("span", sign, verdict, cls=f"badge {kind}")


def claims_table(claims: Sequence[Json]) -> Html:
    """Return the claims with what was measured and their verdicts."""
    if not claims:
        return tag("p", "None of the stages that a claim compares has run yet.", cls="empty")
    rows = [
        tag(
            "tr",
            tag("td", badge(str(claim.get("verdict", ""))), cls="verdict"),
            tag(
                "td",
                tag("div", str(claim.get("claim", "")), cls="claim"),
                tag("div", str(claim.get("source", "")), cls="note"),
            ),
            tag("td", str(record(claim.get("measured")).get("text", "")), cls="measured"),
        )
        for claim in claims
    ]
    head = tag("tr", *(tag("th", title, scope="col") for title in ("Verdict", "Claim", "Measured")))
    return tag("table", tag("thead", head), tag("tbody", rows), cls="claims")


def evaluation_tables(stages: Sequence[StageData]) -> Html:
    """Return one table of the pooled reasoning environments and one for each environment."""
    evaluated = [stage for stage in stages if record(stage.facts.get("evals"))]
    if not evaluated:
        return tag("p", "No stage has been evaluated yet.", cls="empty")
    envs = list(dict.fromkeys(env for s in evaluated for env in record(s.facts.get("evals"))))
    reasoning = [env for env in envs if is_reasoning(env)]
    parts: list[Html | None] = []
    if len(reasoning) > 1:
        title = f"All reasoning environments ({', '.join(reasoning)}), weighted by questions"
        parts.append(_table(title, evaluated, reasoning))
    for env in envs:
        having = [stage for stage in evaluated if env in record(stage.facts.get("evals"))]
        parts += [_table(env, having, [env]), _difficulty_table(env, having)]
    return join(*parts)


def measured(stage: StageData, key: str, envs: Sequence[str]) -> Measure | None:
    """Return a stage's measure in one environment, or pooled over several."""
    evals = record(stage.facts.get("evals"))
    return lookup(evals.get(envs[0]), key) if len(envs) == 1 else pooled(evals, key, envs)


def _table(title: str, stages: Sequence[StageData], envs: Sequence[str]) -> Html:
    """Return stages by measures; a column stands only where some stage has the measure."""
    votes = [
        f"{key}/{k}"
        for key in ("pass@k", "cons@k")
        for k in sorted(set[int]().union(*(_counts(s, key, envs) for s in stages)))
    ]
    keys = [
        key
        for key in (*_SHARES, *votes, *_AFTER)
        if any(measured(stage, key, envs) is not None for stage in stages)
    ]
    head = tag("tr", tag("th", "Stage", scope="col"), [_heading(key) for key in keys])
    rows = [
        tag("tr", _stage_cell(stage), [_cell(key, measured(stage, key, envs)) for key in keys])
        for stage in stages
    ]
    table = tag(
        "table", tag("caption", title), tag("thead", head), tag("tbody", rows), cls="numbers"
    )
    return tag("div", table, _counts_line(stages, envs), cls="scroll")


def _counts(stage: StageData, key: str, envs: Sequence[str]) -> set[int]:
    evals = record(stage.facts.get("evals"))
    return {
        int(k) for env in envs for k in record(record(evals.get(env)).get(key)) if k.isdecimal()
    }


def _heading(key: str) -> Html:
    name = key.replace("@k/", "@")
    unit = "tokens" if key == "mean_length" else "%"
    return tag("th", HEADINGS.get(name, name), tag("span", unit, cls="unit"), scope="col")


def _stage_cell(stage: StageData) -> Html:
    role = tag("span", stage.fact("role"), cls="note")
    return tag("th", f"{stage.number} {stage.name}", role, scope="row")


def _cell(key: str, value: Measure | None) -> Html:
    if value is None:
        return tag("td", "–", cls="none")
    parts: list[Html] = [
        tag("b", written(key, value)),
        tag("span", interval(key, value), cls="ci", title=f"95% interval, n = {value.n}"),
    ]
    if key in _SHARES:
        parts.append(range_bar(value))
    return tag("td", *parts)


def range_bar(value: Measure) -> Html:
    """Return a small bar from 0 to 1 with the interval and the value on it."""
    low, mean, high = (
        min(1.0, max(0.0, x)) * 72 for x in (value.ci95[0], value.value, value.ci95[1])
    )
    return tag(
        "svg",
        tag("rect", x=0, y=3, width=72, height=2, cls="track"),
        tag("rect", x=low, y=2, width=max(1.0, high - low), height=4, cls="band"),
        tag("circle", cx=mean, cy=4, r=2.5, cls="dot"),
        viewBox="-3 0 78 8",
        cls="range",
        aria_hidden="true",
    )


def _counts_line(stages: Sequence[StageData], envs: Sequence[str]) -> Html | None:
    """Return how many samples a limit cut or a grader failed on, where any were."""
    lines: list[str] = []
    for stage in stages:
        evals = [record(record(stage.facts.get("evals")).get(env)) for env in envs]
        cut, failed = (
            sum(number(e.get(key)) or 0 for e in evals) for key in ("truncated", "invalid")
        )
        said = [f"{cut:.0f} cut by a limit"] * bool(cut) + [f"{failed:.0f} not graded"] * bool(
            failed
        )
        if said:
            lines.append(f"{stage.name} {', '.join(said)}")
    return tag("p", "Samples: " + "; ".join(lines) + ".", cls="note") if lines else None


def mixture_table(stage: StageData) -> Html | None:
    """Return what each source of a stage's mixture was asked for and gave; None for one source."""
    found = record(record(stage.facts.get("facts")).get("mixture"))
    sources = {name: record(source) for name, source in found.items()}
    if len(sources) < 2 and not any(number(s.get("grader_errors")) for s in sources.values()):
        return None
    titles = ("Source", "asked, %", "realised, %", "prompts", "completions", "not graded")
    rows: list[Html] = []
    for name, source in sources.items():
        shares = [100 * (number(source.get(key)) or 0.0) for key in ("asked", "realised")]
        counts = [number(source.get(key)) or 0 for key in ("prompts", "completions")]
        failed = number(source.get("grader_errors")) or 0
        rows.append(
            tag(
                "tr",
                tag("th", name, scope="row"),
                [tag("td", f"{share:.1f}") for share in shares],
                [tag("td", f"{count:.0f}") for count in (*counts, failed)],
            )
        )
    head = tag("tr", [tag("th", title, scope="col") for title in titles])
    caption = tag("caption", "Mixture: asked and realised shares of the prompts")
    table = tag("table", caption, tag("thead", head), tag("tbody", rows), cls="numbers")
    return tag("div", table, cls="scroll")


def _difficulty_table(env: str, stages: Sequence[StageData]) -> Html | None:
    """Return strict pass@1 by level of difficulty, where an environment has more than one."""
    blocks = [record(record(stage.facts.get("evals")).get(env)) for stage in stages]
    found = {level for block in blocks for level in record(block.get("by_difficulty"))}
    if len(found) < 2:
        return None
    levels = sorted(found, key=lambda level: (len(level), level))
    head = tag(
        "tr",
        tag("th", "Stage", scope="col"),
        [tag("th", f"level {x}", scope="col") for x in levels],
    )
    rows = [
        tag(
            "tr",
            _stage_cell(stage),
            [_cell("level", lookup(b, f"by_difficulty/{x}")) for x in levels],
        )
        for stage, b in zip(stages, blocks, strict=True)
    ]
    table = tag("table", tag("thead", head), tag("tbody", rows), cls="numbers")
    return tag(
        "details",
        tag("summary", f"{env}: pass@1 by difficulty, %"),
        tag("div", table, cls="scroll"),
    )
