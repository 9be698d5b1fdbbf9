"""What people do with the viewer, and what a policy may write into it."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from typing import Any

import pytest

from palestra.envs import Status
from tests.browser.conftest import Said, group

RIGHT = Said("<think>6*7</think><answer>42</answer>", 1.0, {"extracted": "42"})
WRONG = Said("<think>6+7</think><answer>13</answer>")

HOSTILE = (
    "</script><img src=x onerror=\"window.pwned='img'\">",
    "</SCRIPT ><script>window.pwned='script'</script>",
    "<!--<script>window.pwned='comment'</script>-->",
    "]]></style></pre><svg onload=\"window.pwned='svg'\"><iframe src='http://127.0.0.1:9/'>",
    "<a href=\"javascript:window.pwned='link'\">x</a>{{7*7}}${7*7}",
    "[/think] [bold]rich[/bold] [link=http://127.0.0.1:9/]x[/link]",
    "user\u202egnp.exe\u2066 zero\u200bwidth \u2028line \ufeff",
    "\x1b[31mred\x1b]8;;http://127.0.0.1:9/\x07 nul\x00 bell\x07 back\b\b\r delete\x7f",
    "half \ud83d of a pair, &lt;b&gt; &#60;script&#62;",
    "https://127.0.0.1:9/pixel.png " + "'\"`;--" * 20,
)


def texts(opened: Any, selector: str) -> list[str]:
    return opened.page.locator(selector).all_inner_texts()


def assert_harmless(opened: Any) -> None:
    assert opened.errors == []
    assert opened.requests == []
    assert opened.page.evaluate("window.pwned") is None
    found = opened.page.evaluate(
        "['img','iframe','svg','object','embed','link','a','style + style']"
        ".map(name => document.querySelectorAll(name).length)"
    )
    assert found == [0] * 8
    assert opened.page.evaluate("document.querySelectorAll('script:not([type])').length") == 1


def test_a_group_is_shown_side_by_side(view) -> None:
    opened = view({1: [group(7, [RIGHT, WRONG, WRONG, RIGHT])]})
    assert [t.split()[:3] for t in texts(opened, ".member .facts")] == [
        [str(i), "reward", r] for i, r in enumerate("1001")
    ]
    boxes = [opened.page.locator(".member").nth(i).bounding_box() for i in range(2)]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] < boxes[1]["x"]
    assert "6*7?" in texts(opened, ".prompt .text")[0]
    assert "tokens · advantage +0.87 · answer 42" in texts(opened, ".member .note")[0]


def test_a_token_tells_what_it_is(view) -> None:
    opened = view({1: [group(7, [RIGHT, WRONG])]})
    opened.page.locator(".t").first.hover()
    line = texts(opened, "#readout")[0]
    assert '"<think>"' in line
    assert "log-prob −" in line
    assert "token 1 of" in line
    opened.page.locator(".tokens").first.focus()
    opened.page.keyboard.press("ArrowRight")
    assert "token 2 of" in texts(opened, "#readout")[0]


def test_tokens_are_coloured_by_advantage_log_prob_or_mask(view) -> None:
    said = Said(RIGHT.text, 1.0)
    opened = view({1: [group(7, [said, WRONG])]})

    def colours() -> list[str]:
        # of one token in each member, whose advantages have opposite signs
        script = "[...document.querySelectorAll('.tokens')].map(box => getComputedStyle(box.querySelector('.t')).backgroundColor)"
        return opened.page.evaluate(script)

    by_advantage = colours()
    assert by_advantage[0] != by_advantage[1]
    opened.page.keyboard.press("m")
    by_mask = colours()
    assert by_mask[0] == by_mask[1] != by_advantage[0]
    opened.page.get_by_role("button", name="Log-prob").click()
    shades = opened.page.evaluate(
        "new Set([...document.querySelectorAll('.t')].map(t => getComputedStyle(t).backgroundColor)).size"
    )
    assert shades > 2
    opened.page.keyboard.press("n")
    assert set(colours()) == {"rgba(0, 0, 0, 0)"}


def test_filters_leave_what_passes_all_of_them(view) -> None:
    failed = Said("?", 0.0, {"status": Status.TIMEOUT, "reason": "too slow"})
    cut = Said("on and on", 0.0, {"stop_reason": "length"})
    steps = {1: [group(1, [RIGHT, WRONG, failed]), group(2, [cut, RIGHT], source=1)]}
    opened = view(steps)
    page = opened.page

    def passing() -> str:
        page.wait_for_timeout(250)
        return texts(opened, ".passing")[0]

    assert passing() == "2 of 2 groups, 5 of 5 rollouts"
    page.select_option("#f-status", "timeout")
    assert passing() == "1 of 2 groups, 1 of 5 rollouts"
    assert texts(opened, ".reason") == ["too slow"]
    page.get_by_role("button", name="Clear").click()
    page.select_option("#f-stop", "length")
    assert passing() == "1 of 2 groups, 1 of 5 rollouts"
    page.get_by_role("button", name="Clear").click()
    page.fill("#f-low", "0.5")
    assert passing() == "2 of 2 groups, 2 of 5 rollouts"
    page.select_option("#f-source", "logic/Ordering-v1")
    assert passing() == "1 of 2 groups, 1 of 5 rollouts"
    page.get_by_role("button", name="Clear").click()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("ANSWER>42")
    assert passing() == "2 of 2 groups, 2 of 5 rollouts"
    assert "42" in "".join(texts(opened, ".t.hit"))
    page.get_by_role("button", name="Show them").click()
    assert page.locator(".member.out").count() == 1
    page.fill("#f-text", "nowhere")
    assert passing() == "0 of 2 groups, 0 of 5 rollouts"
    assert_harmless(opened)


def test_two_steps_are_compared_task_by_task(view) -> None:
    steps = {
        1: [group(1, [WRONG, WRONG]), group(2, [WRONG, RIGHT], task="train/s9@1")],
        40: [group(90, [RIGHT, WRONG]), group(91, [RIGHT, RIGHT], task="train/s9@1")],
    }
    opened = view(steps)
    opened.page.keyboard.press("c")
    assert opened.page.locator(".pane").count() == 2
    rows = [line.split("\t") for line in texts(opened, "#comparison tr")]
    reward = rows[0].index("reward, mean")
    assert [row[reward] for row in rows[1:]] == ["0.25", "0.75", "+0.5"]
    twins = opened.page.locator(".pane:first-child .item", has_text="in both")
    assert twins.count() == 1
    twins.click()
    other = opened.page.locator(".pane:last-child .item[aria-current]")
    assert "train/s9@1" in other.inner_text()
    opened.page.keyboard.press("c")
    assert opened.page.locator(".pane").count() == 1
    assert opened.page.locator(".pane select").input_value() == "40"
    opened.page.keyboard.press("c")
    assert [s.input_value() for s in opened.page.locator(".pane select").all()] == ["1", "40"]


def test_all_of_it_goes_by_keyboard(view) -> None:
    opened = view({n: [group(3 * n + i, [RIGHT, WRONG]) for i in range(3)] for n in (1, 2)})
    page = opened.page
    tasks = functools.partial(texts, opened, ".item[aria-current] .task")
    assert tasks() == ["train/s6@1"]
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert tasks() == ["train/s7@1"]
    page.keyboard.press("[")
    assert tasks() == ["train/s3@1"]
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("j")  # belongs to the page behind
    page.keyboard.press("Escape")
    assert tasks() == ["train/s3@1"]


def test_half_a_character_is_marked_and_the_character_whole(view) -> None:
    opened = view({1: [group(7, [Said("熊 🦊 done", 1.0), WRONG])]})
    text = texts(opened, ".tokens")[0]
    assert "熊 " in text
    assert "🦊" in text
    assert "\ufffd" not in text
    halves = opened.page.locator(".tokens").first.locator(".t.half")
    assert halves.count() >= 3
    halves.first.hover()
    assert "part of the character that follows" in texts(opened, "#readout")[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_completions_are_text(view, scheme: str) -> None:
    fields = {"reason": HOSTILE[0], "extracted": HOSTILE[1], "status": Status.UNPARSABLE}
    fields |= {"components": {HOSTILE[0]: 1.0}, "task_id": HOSTILE[0], "env_id": HOSTILE[3]}
    messages = [{"role": "user", "content": HOSTILE[1]}]
    members = [Said(text, i % 2, fields | {"messages": messages}) for i, text in enumerate(HOSTILE)]
    opened = view({1: [group(1, members)], 2: [group(2, members)]}, color_scheme=scheme)
    opened.page.keyboard.press("c")
    opened.page.keyboard.press("j")
    for box in opened.page.locator(".tokens").all():
        box.locator(".t").last.hover()
    opened.page.fill("#f-text", "</script")
    opened.page.wait_for_timeout(250)
    assert opened.page.locator(".t.hit").count()
    assert_harmless(opened)


def test_what_a_browser_would_obey_or_hide_is_spelt_out(view) -> None:
    opened = view({1: [group(1, [Said(text) for text in HOSTILE])]})
    shown = "\n".join(texts(opened, ".tokens"))
    for spelt in ("U+202E", "U+200B", "U+2028", "U+FEFF", "␛", "␀", "␈", "␡"):
        assert spelt in shown
    for hidden in "\u202e\u200b\u2028\ufeff\x1b\x00\x07":
        assert hidden not in shown
    assert HOSTILE[0] in shown


def test_the_page_can_neither_run_nor_send_anything_else(view) -> None:
    """Were a completion ever taken for markup, the policy would still stop what it asks for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        opened = view({1: [group(1, [RIGHT, WRONG])]})
        url = f"http://127.0.0.1:{server.server_port}"
        opened.page.evaluate(
            """(url) => {
                const add = (name, values) => document.body.append(
                    Object.assign(document.createElement(name), values));
                add("img", {src: url + "/img"});
                add("iframe", {src: url + "/frame"});
                add("link", {rel: "stylesheet", href: url + "/style"});
                for (const make of [
                    () => add("script", {textContent: "window.pwned = 1"}),
                    () => add("script", {src: url + "/script"}),
                    () => add("div", {innerHTML: "<img src=x onerror='window.pwned=2'>"}),
                    () => setTimeout("window.pwned = 3"),
                    () => document.body.setAttribute("onclick", "window.pwned = 4"),
                    () => navigator.sendBeacon(url + "/beacon"),
                    () => fetch(url + "/fetch").catch(() => 0),
                ]) try { make(); } catch {}
            }""",
            url,
        )
        opened.page.mouse.click(5, 5)
        opened.page.wait_for_timeout(500)
        server.shutdown()
    assert asked == []
    assert opened.page.evaluate("window.pwned") is None


def test_a_completion_of_100_000_characters_is_drawn_in_parts(view) -> None:
    opened = view({1: [group(1, [Said("7*" * 50_000), RIGHT])]})
    first = opened.page.locator(".tokens").first
    drawn = first.locator(".t").count()
    assert 1000 < drawn <= 4000
    first.get_by_role("button", name="more").click()
    assert first.locator(".t").count() > drawn
    opened.page.fill("#f-text", "7*7*")
    opened.page.wait_for_selector(".t.hit")
    assert_harmless(opened)


@pytest.mark.slow
def test_512_rollouts_of_1000_tokens_answer_at_once(view) -> None:
    long = Said("<think>" + "7+7=14 then " * 120, 1.0)
    steps = {
        n: [group(64 * n + i, [long, *[WRONG, long] * 3, WRONG]) for i in range(64)] for n in (1, 2)
    }
    opened = view(steps)
    page = opened.page
    assert sum(map(len, texts(opened, ".tokens"))) > 4000

    def seconds(key: str) -> float:
        started = time.monotonic()
        page.keyboard.press(key)
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => done()))")
        return time.monotonic() - started

    assert min(seconds("j") for _ in range(5)) < 1.0
    assert min(seconds(key) for key in "lma") < 0.5
    assert min(seconds("c") for _ in range(2)) < 3.0
    page.fill("#f-text", "then 7+7=14 then")
    page.wait_for_selector(".passing:has-text('256 of 512')")


def test_without_a_tokenizer_completions_are_plain_text(view, monkeypatch) -> None:
    monkeypatch.setattr("palestra.report.viewer.build.load_detokenizer", lambda folders: None)
    opened = view({1: [group(1, [RIGHT, Said(HOSTILE[0])])]})
    assert texts(opened, ".tokens") == [RIGHT.text, HOSTILE[0]]
    assert_harmless(opened)
