"""The page: whole, offline, unscripted, whatever the run left and whatever a model wrote."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from palestra.errors import ConfigError
from palestra.report.page import build_report, duration

VOID = {"meta", "br", "img", "input", "link", "hr", "col", "wbr"}


class Page(HTMLParser):
    """Checks that every tag is closed by its own end tag, and gathers what is on the page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.content: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.content.append(data)

    @property
    def text(self) -> str:
        return "".join(self.content)


Shown = tuple[Path, str, Page]


def built(run_dir: Path) -> tuple[str, Page]:
    path = build_report(run_dir)
    assert path == run_dir / "report" / "index.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "img", "iframe", "object", "link", "base", "form"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "style"
        if name in ("href", "src", "action"):
            assert tag == "a"
            assert value.startswith(("#", "curves/"))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b]", text)
    return text, page


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, run_writer: Callable[[Path], Path]):
    """The folder, text and parsed page of one whole run."""
    path = run_writer(tmp_path_factory.mktemp("runs") / "r1-tiny-20260814-0")
    return path, *built(path)


def test_page_is_whole_and_hostile_text_stays_text(shown: Shown):
    _, text, page = shown
    assert "</script><script>alert(1)</script>" in page.text  # as text
    assert "<img src=x onerror=alert(2)>" in page.text
    assert "[/x] [bold red]" in page.text
    assert "␛" in page.text
    assert "␀" in page.text
    assert "U+202E" in page.text
    assert "</style><script>alert(3)</script>" in page.text
    assert "所以答案是八" in page.text
    assert text.count("<style>") == 1


def test_policy_allows_the_one_stylesheet_and_nothing_else(shown: Shown):
    _, text, page = shown
    policy = next(
        value for _, name, value in page.attributes if name == "content" and "src" in value
    )
    style = re.search(r"<style>(.*)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "://" not in style[1]
    assert "url(" not in style[1]


def test_page_says_what_ran(shown: Shown):
    _, _, page = shown
    for said in (
        "r1-tiny", "7 min 12 s", "1.79 GB", "torch 2.13.0", "↺ restarts from base",
        "pass@1 23.0 → 79.0%", "Pure reinforcement learning", "reproduced", "language",
        "pass@1 lenient", "level 3", "Step 59", "best 1.1, worst 0 of 4", "student",
        "Restarts from base, as R1 did.", "Held-out pass@1", "Gradient norm", "seconds_sampling",
        "not evaluated", "with_language_reward",
    ):  # fmt: skip
        assert said in page.text, said
    anchors = {value for _, name, value in page.attributes if name == "id"}
    links = {v[1:] for _, name, v in page.attributes if name == "href" and v.startswith("#")}
    assert links <= anchors


def test_ribbon_shows_branches_in_the_order_they_ran(shown: Shown):
    """A branch lies below the one that ran before it, a given model just before its first child."""
    _, text, page = shown
    boxes = re.findall(r'<text class="name" x="(\d+)" y="(\d+)">([^<]*)<', text)
    places = {name.split()[-1]: (int(x), int(y)) for x, y, name in boxes}
    assert places["base"][1] == places["zero"][1] < places["cold_start"][1] < places["sft"][1]
    assert places["cold_start"][0] == places["sft"][0] == places["zero"][0]
    assert places["sft"][1] < places["student_sft"][1] < places["student_rl"][1]
    assert abs(places["student"][1] - places["student_sft"][1]) <= 10  # in one row
    assert page.text.count("↺ restarts from base") == 4  # a line and a title for each of two boxes


def test_samples_are_of_the_first_middle_and_last_step(shown: Shown):
    _, _, page = shown
    assert {int(step) for step in re.findall(r"Step (\d+)", page.text)} == {0, 10, 59}


def test_pngs_lie_beside_the_page(shown: Shown):
    run_dir, _, page = shown
    links = [v for _, name, v in page.attributes if name == "href" and v.startswith("curves/")]
    assert len(links) == 2
    for link in links:
        data = (run_dir / "report" / link).read_bytes()
        assert data.startswith(b"\x89PNG")


def test_same_run_gives_the_same_page(shown: Shown):
    run_dir, text, _ = shown
    assert built(run_dir)[0] == text


@pytest.mark.parametrize("left", ["nothing", "recipe", "damaged", "odd"])
def test_a_run_that_left_little_still_gets_a_page(tmp_path: Path, left: str):
    if left != "nothing":
        (tmp_path / "recipe.yaml").write_text("model: tiny\n")
    stage = tmp_path / "stages" / "01-zero"
    if left == "damaged":
        (stage / "rollouts").mkdir(parents=True)
        (tmp_path / "results.json").write_text('{"stages": [')
        (stage / "metrics.jsonl").write_text(
            '{"step": 0, "reward": NaN, "length": 1e999}\n{"st\n{"step": 2'
        )
        (stage / "evals.jsonl").write_text("")
        (stage / "rollouts" / "step-0.parquet").write_bytes(b"PAR1 nothing")
    if left == "odd":
        stage.mkdir(parents=True)
        (stage / "metrics.jsonl").write_text('{"reward": "x", "step": null, "a$b": 1}\n[1]\n3\n')
        nulls = {"value": None, "ci95": [None, None], "n": 0}
        evals = {"math/X-v1": {"pass@1": nulls, "format": 0.5, "greedy": {"value": 1}}, "y": None}
        stages = [
            {"name": "loop", "init_from": "loop", "evals": evals},
            {"name": "$\\frac{", "role": 3, "init_from": "later", "evals": [], "notes": 5},
            {"name": "later", "init_from": "base", "seconds": "x", "before": 3, "evals": {"a": 1}},
            "stage",
        ]
        facts = {
            "stages": stages,
            "claims": [{}, None, {"verdict": "<b>", "measured": 3}],
            "seed": None,
        }
        (tmp_path / "results.json").write_text(json.dumps(facts))
        (tmp_path / "manifest.json").write_text("[]")
    _, page = built(tmp_path)
    assert tmp_path.name in page.text
    if left == "damaged":
        assert "results.json is damaged" in page.text
        assert "metrics.jsonl: line 2 is damaged" in page.text
        assert "line 3" not in page.text
        assert "unfinished" in page.text


def test_unfinished_stages_follow_the_finished_ones(run_dir: Path):
    facts = json.loads((run_dir / "results.json").read_text())
    facts["stages"] = facts["stages"][:2]
    (run_dir / "results.json").write_text(json.dumps(facts))
    _, page = built(run_dir)
    assert "Unfinished: with_language, without_language," in page.text
    assert "Pure reinforcement learning" in page.text  # judged from what there is


def test_hostile_names_cannot_leave_the_page(run_dir: Path):
    facts = json.loads((run_dir / "results.json").read_text())
    evil = '"><script>alert(1)</script>\u202e$x_{'
    facts["recipe"] = evil
    facts["stages"][1]["name"] = evil
    facts["versions"][evil] = evil
    (run_dir / "results.json").write_text(json.dumps(facts))
    (run_dir / "stages" / "02-zero").rename(run_dir / "stages" / "02-gone")
    html = built(run_dir)[0]
    assert evil not in (html if isinstance(html, str) else html.read_text())


def test_no_run_folder_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such run folder"):
        build_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.9, "1 min 00 s"), (431.7, "7 min 12 s"), (11100, "3 h 05 min")],
)
def test_duration(seconds: float, said: str):
    assert duration(seconds) == said
