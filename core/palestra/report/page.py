"""The report of a run: one HTML file that opens offline and runs nothing.

The page has no script, no inline style and loads nothing: its content security policy forbids all
but the one stylesheet in its head, which it names by hash.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from palestra.evaluation.pooling import Json, number, record
from palestra.report.curves import charts_of, figure, other_charts, write_png
from palestra.report.data import RunData, StageData, load_run
from palestra.report.html import Html, join, tag
from palestra.report.phases import phases_figure
from palestra.report.ribbon import ribbon
from palestra.report.samples import sample_block, samples_of
from palestra.report.tables import VERDICTS, claims_table, evaluation_tables, mixture_table


def build_report(run_dir: Path) -> Path:
    """Write ``report/index.html`` and ``report/curves/*.png`` for a run, finished or not.

    Args:
        run_dir: the run's folder.

    Returns:
        The path of ``index.html``.

    Raises:
        ConfigError: there is no such folder.
    """
    run = load_run(Path(run_dir))
    folder = run.path / "report"
    folder.mkdir(exist_ok=True)
    pictures = {
        stage.number: f"curves/{stage.slug}.png"
        for stage in run.stages
        if write_png(stage, folder / "curves" / f"{stage.slug}.png")
    }
    target = folder / "index.html"
    unfinished = folder / "index.html.tmp"
    unfinished.write_text(render(run, pictures), encoding="utf-8", newline="\n")
    os.replace(unfinished, target)
    return target


def render(run: RunData, pictures: dict[int, str]) -> str:
    """Return the page's text; `pictures` are the PNGs' paths by stage number."""
    style = resources.files("palestra.report").joinpath("style.css").read_text(encoding="utf-8")
    body = tag(
        "body",
        _header(run),
        _navigation(run.stages),
        tag(
            "main",
            [tag("p", notice, cls="notice") for notice in run.notices],
            _section("stages", "Stages", _RIBBON_NOTE, ribbon(run.stages)),
            _section("claims", "Claims of the paper", _CLAIMS_NOTE, claims_table(run.claims)),
            _section("evaluation", "Evaluation", _EVALUATION_NOTE, evaluation_tables(run.stages)),
            [_stage_section(stage, pictures.get(stage.number)) for stage in run.stages],
            _recipe(run),
        ),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{_name(run)} · Palestra"),
        tag("style", Html(style)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


_RIBBON_NOTE = (
    "Boxes are numbered in the order they ran; lines show whose weights a stage began from. "
    "Below, strict pass@1 over all reasoning environments, before and after."
)
_CLAIMS_NOTE = (
    "Judged by code from the numbers below: reproduced where the 95% interval lies wholly on the "
    "claim's side, not reproduced where the value does not point that way."
)
_EVALUATION_NOTE = (
    "Held-out questions; the small figures are 95% intervals over questions. Strict reads the "
    "answer inside its tags, lenient the last answer anywhere."
)


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _section(anchor: str, title: str, note: str, *content: Html) -> Html:
    return tag("section", tag("h2", title), tag("p", note, cls="lead"), *content, id=anchor)


def _name(run: RunData) -> str:
    recipe = run.results.get("recipe") or run.manifest.get("recipe")
    if isinstance(recipe, str) and recipe:
        return recipe
    return str(record(recipe).get("name") or run.path.resolve().name)


def _header(run: RunData) -> Html:
    """Return the recipe's name, the facts of the run and the tally of verdicts."""
    memory, seconds = number(run.results.get("peak_rss_mb")), number(run.results.get("seconds"))
    facts = {
        "seed": run.results.get("seed", run.manifest.get("seed")),
        "model": run.manifest.get("model"),
        "started": run.manifest.get("started"),
        "time": None if seconds is None else duration(seconds),
        "peak memory": None if memory is None else f"{memory / 1024:.2f} GB",
        "stages": len(run.stages),
    }
    versions = record(run.results.get("versions") or run.manifest.get("versions"))
    tally = Counter(str(claim.get("verdict")) for claim in run.claims)
    return tag(
        "header",
        tag("p", "Palestra run", cls="eyebrow"),
        tag("h1", _name(run)),
        _pairs({key: str(value) for key, value in facts.items() if value is not None}, "facts"),
        tag(
            "p",
            [_tally(verdict, tally[verdict]) for verdict in VERDICTS if tally[verdict]],
            cls="tally",
        ),
        tag("p", " · ".join(f"{name} {value}" for name, value in versions.items()), cls="note"),
    )


def _tally(verdict: str, count: int) -> Html:
    noun = "claim" if count == 1 else "claims"
    return tag("span", tag("b", count), f" {noun} {verdict}", cls=verdict.replace(" ", "-"))


def _pairs(facts: dict[str, str], kind: str) -> Html:
    items = [tag("div", tag("dt", key), tag("dd", value)) for key, value in facts.items()]
    return tag("dl", *items, cls=kind)


def duration(seconds: float) -> str:
    """Return a time as people say it: ``42 s``, ``7 min 12 s``, ``3 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _navigation(stages: Sequence[StageData]) -> Html:
    fixed = {"stages": "Stages", "claims": "Claims", "evaluation": "Evaluation"}
    links = [tag("a", title, href=f"#{anchor}") for anchor, title in fixed.items()]
    links += [tag("a", f"{stage.number} {stage.name}", href=f"#{stage.slug}") for stage in stages]
    return tag("nav", *links, tag("a", "Recipe", href="#recipe"), aria_label="Sections")


def _stage_section(stage: StageData, picture: str | None) -> Html:
    """Return one stage: its facts, curves and samples."""
    steps, seconds = number(stage.facts.get("steps")), number(stage.facts.get("seconds"))
    facts = {
        "role": stage.fact("role"),
        "type": stage.fact("type"),
        "variant": stage.fact("variant"),
        "from": stage.fact("init_from"),
        "steps": f"{steps:.0f}" if steps is not None else str(len(stage.metrics) or ""),
        "time": "" if seconds is None else duration(seconds),
        "state": "" if stage.finished else "unfinished",
    }
    return tag(
        "section",
        tag("h2", tag("span", stage.number, cls="count"), stage.name),
        _pairs({key: value for key, value in facts.items() if value}, "facts small"),
        [tag("p", note, cls="lead") for note in _notes(stage.facts)],
        _curves(stage, picture),
        mixture_table(stage),
        _samples(stage),
        id=stage.slug,
        cls="stage",
    )


def _notes(facts: Json) -> list[str]:
    """Return what is said of a stage: in its entry, or by the stage itself among its facts."""
    said: list[str] = []
    for notes in (facts.get("notes"), record(facts.get("facts")).get("notes")):
        if isinstance(notes, list | tuple):
            said += [str(note) for note in notes]
        elif notes:
            said.append(str(notes))
    return said


def _curves(stage: StageData, picture: str | None) -> Html | None:
    charts, others = charts_of(stage), other_charts(stage)
    if not charts and not others:
        return tag("p", "No training curve.", cls="empty") if stage.metrics else None
    link = (
        tag("p", tag("a", "These curves as PNG", href=quote(picture)), cls="note")
        if picture
        else None
    )
    more = tag(
        "details",
        tag("summary", f"{len(others)} more curves"),
        tag("div", [figure(chart) for chart in others], cls="charts"),
    )
    main = tag("div", [figure(chart) for chart in charts], phases_figure(stage), cls="charts")
    return join(main, link, more if others else None)


def _samples(stage: StageData) -> Html | None:
    samples = samples_of(stage.folder)
    if not samples:
        return None
    blocks = [sample_block(s, is_open=i == len(samples)) for i, s in enumerate(samples, start=1)]
    note = "The group with the widest rewards of a step: its best and its worst member."
    return join(tag("h3", "Samples"), tag("p", note, cls="lead"), *blocks)


def _recipe(run: RunData) -> Html:
    """Return the resolved recipe, folded."""
    if not run.recipe:
        return tag(
            "section",
            tag("h2", "Recipe"),
            tag("p", "recipe.yaml is missing.", cls="empty"),
            id="recipe",
        )
    text = tag("pre", run.recipe, cls="text", dir="ltr")
    folded = tag("details", tag("summary", "recipe.yaml, resolved"), text)
    return tag("section", tag("h2", "Recipe"), folded, id="recipe")
