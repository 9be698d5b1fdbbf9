"""Escaping, curves, samples and the terminal's tables."""

from __future__ import annotations

import io
import math
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.console import Console

from palestra.report.curves import Chart, Series, charts_of, figure, smooth, thin, ticks
from palestra.report.data import StageData
from palestra.report.html import Html, escape, join, tag, visible
from palestra.report.samples import samples_of
from palestra.report.summary import summary_tables


def test_strings_are_escaped_and_markup_is_not():
    inner = tag("b", "<i>")
    assert str(tag("p", inner, "&", 3, None, [1.5, "x"], cls='"')) == (
        '<p class="&quot;"><b>&lt;i&gt;</b>&amp;31.5x</p>'
    )
    assert join(Html("<hr>"), "<hr>").source == "<hr>&lt;hr&gt;"


@pytest.mark.parametrize("name", ["a b", "<a>", "", "on click"])
def test_names_of_tags_are_checked(name: str):
    with pytest.raises(ValueError, match="not a name"):
        tag(name)


@given(st.text())
def test_escaped_text_has_nothing_a_browser_obeys(text: str):
    got = escape(text).source
    bare = got.replace('<span class="ctl">', "").replace("</span>", "")
    assert not set("<>\"'") & set(bare)
    got.encode("utf-8")
    for char in got + visible(text):
        if unicodedata.category(char) == "Cn":  # not assigned, so drawn as a box
            continue
        assert char in "\n\t" or (char.isprintable() or (char.isspace() and ord(char) > 0x9F))


def test_hidden_characters_are_spelled_out():
    assert (
        visible("a\x1b[31m\x00\u202eb\r\n\t\x9b\u200b")
        == "a⟨␛⟩[31m⟨␀⟩⟨U+202E⟩b⟨␍⟩\n\t⟨U+009B⟩⟨U+200B⟩"
    )
    assert visible("é 中文 ½") == "é 中文 ½"


@given(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9))
def test_ticks_are_few_and_inside(low: float, span: float):
    assume(span > abs(low) * 1e-6)  # below that, floats have no room for marks between the ends
    marks = ticks(low, low + span)
    assert len(marks) <= 6
    assert all(low - span * 1e-3 <= m <= low + span * 1.001 for m in marks)


def test_thin_and_smooth_keep_a_long_curve_short_and_in_range():
    points = [(float(i), math.sin(i / 50)) for i in range(10_400)]
    short = smooth(thin(points))
    assert len(short) <= 300
    assert all(-1 <= value <= 1 for _, value in short)


@pytest.mark.parametrize(
    "points", [[(0.0, 1.0)], [(3.0, 2.0), (3.0, 2.0)], [(0.0, 1e300), (1.0, -1e300)]]
)
def test_degenerate_charts_are_drawn(points: list[tuple[float, float]]):
    drawn = str(figure(Chart(title="x", series=[Series(label="y", points=points)])))
    assert "nan" not in drawn
    assert "inf" not in drawn


def test_charts_leave_out_what_is_not_finite():
    rows = [
        {"step": i, "reward": x, "kl": float("nan")} for i, x in enumerate((1.0, float("inf"), 2.0))
    ]
    stage = StageData(number=1, name="zero", facts={}, folder=None, metrics=rows, evals=[])
    charts = charts_of(stage)
    assert [chart.title for chart in charts] == ["Reward"]
    assert charts[0].series[0].points == [(0.0, 1.0), (2.0, 2.0)]


def test_samples_are_the_widest_group_best_first(run_dir: Path):
    samples = samples_of(run_dir / "stages" / "02-zero")
    assert [sample.step for sample in samples] == [0, 10, 59]
    assert all(s.best["reward"] == 1.1 and s.worst and s.worst["reward"] == 0 for s in samples)
    assert samples_of(None) == [] == samples_of(run_dir)


def printed(results: dict[str, object], **options: Path) -> str:
    console = Console(file=io.StringIO(), width=150, force_terminal=False)
    for table in summary_tables(results, **options):
        console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_summary_shows_before_and_after_and_verdicts(run_dir: Path):
    import json

    from palestra.evaluation.claims import judge_claims

    results = json.loads((run_dir / "results.json").read_text())
    results["claims"] = judge_claims(results["stages"])
    text = printed(results, report=run_dir / "report" / "index.html")
    assert "23.0 → 79.0" in text
    assert "✓ reproduced" in text
    assert "index.html" in text


def test_summary_reads_nothing_as_markup():
    evil = "[/x][red]\x1b[31m\u202e"
    claim = {"verdict": evil, "claim": evil, "measured": {"text": evil}}
    text = printed({"stages": [{"name": evil, "init_from": evil}], "claims": [claim]})
    assert "[/x][red]⟨␛⟩[31m⟨U+202E⟩" in text
    assert "\x1b" not in text
    assert printed({}) == ""
