"""The viewer's page: one HTML file that opens offline, and whose one script is ours.

Its content security policy lets run what its hash names, and lets nothing be loaded or sent. What a
model wrote lies in the page as JSON without any ``<``, and is shown as text only (see `view.js`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from palestra.report.html import Html, tag

_KEYS = (
    ("j k", "next and previous group"),
    ("[ ]", "previous and next step"),
    ("a l m n", "colour by advantage, log-prob, mask, nothing"),
    ("c", "compare two steps"),
    ("/", "search"),
    ("← →", "walk through the tokens of a focused completion"),
    ("?", "this help"),
)
_COLOURS = {"advantage": "Advantage", "logprob": "Log-prob", "mask": "Mask", "none": "None"}


def render(run: str, stage: str, steps: Mapping[int, Mapping[str, Any]]) -> str:
    """Return the page's text.

    Args:
        run: the run's name.
        stage: the stage's.
        steps: the data of each step, as `viewer.data.step_data` makes it.
    """
    style = _file("palestra.report", "style.css") + _file("palestra.report.viewer", "view.css")
    script = _file("palestra.report.viewer", "view.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{stage} · {run} · Palestra rollouts"),
        tag("style", Html(style)),
    )
    body = tag(
        "body",
        _top(run, stage),
        _filters(),
        tag("div", id="comparison", hidden=""),
        tag("main", id="panes"),
        tag("div", "Point at a token, or walk through them by ← and →.", id="readout"),
        _help(),
        _data("steps", sorted(steps)),
        [_data(f"data-{step}", steps[step]) for step in sorted(steps)],
        tag("script", Html(script)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _file(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data(name: str, value: object) -> Html:
    """Return JSON as a block that no browser runs, and that no text in it can end."""
    written = json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return tag("script", Html(written), type="application/json", id=name)


def _top(run: str, stage: str) -> Html:
    colours = [
        tag("button", label, type="button", data_set_colour=name)
        for name, label in _COLOURS.items()
    ]
    return tag(
        "header",
        tag("h1", stage, tag("span", f" of {run}")),
        tag("div", *colours, cls="choice", role="group", aria_label="Colour of tokens"),
        tag("div", "−", tag("span", cls="ramp"), "+", cls="legend advantage"),
        tag("div", "likely", tag("span", cls="ramp"), "surprising", cls="legend logprob"),
        tag(
            "div",
            tag("span", "policy", cls="key own"),
            tag("span", "environment", cls="key env"),
            cls="legend mask",
        ),
        tag("button", "Compare steps", type="button", id="compare", cls="push"),
        tag("button", "Keys", type="button", id="show-help"),
        cls="top",
    )


def _filters() -> Html:
    return tag(
        "form",
        _labelled("Source", tag("select", id="f-source")),
        _labelled("Status", tag("select", id="f-status")),
        _labelled("Ended by", tag("select", id="f-stop")),
        _labelled("Reward from", _bound("low")),
        _labelled("to", _bound("high")),
        _labelled("Text", tag("input", id="f-text", type="search", autocomplete="off")),
        tag("button", "Clear", type="reset"),
        id="filters",
    )


def _labelled(text: str, control: Html) -> Html:
    return tag("label", text, control)


def _bound(name: str) -> Html:
    return tag("input", id=f"f-{name}", inputmode="decimal", autocomplete="off")


def _help() -> Html:
    return tag(
        "dialog",
        tag("h2", "Keys"),
        tag("dl", *_pairs(_KEYS)),
        tag("button", "Close", type="button", id="close-help"),
        id="help",
    )


def _pairs(keys: Sequence[tuple[str, str]]) -> Iterable[Html]:
    for key, meaning in keys:
        yield tag("dt", *[tag("kbd", part) for part in key.split()])
        yield tag("dd", meaning)
