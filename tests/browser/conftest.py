"""The viewer in a real browser: Debian's Chromium, driven by Playwright's core."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palestra.envs import Status
from palestra.learner.packing import pack
from palestra.optimizers.grpo import GRPO, GRPOConfig
from palestra.report.viewer.build import build_view
from palestra.rollout.record import write_rollout
from palestra.rollout.trajectory import Group, Trajectory
from palestra.tiny.paths import base_dir

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RECIPE = """\
name: shown
model: tiny
mixtures:
  zero: {sources: [{env: math/Arithmetic-v1}, {env: logic/Ordering-v1}]}
stages:
  zero: {type: rl, init_from: base, mixture: zero}
"""


@dataclass(frozen=True)
class Said:
    """A completion of a recorded run, and what became of it."""

    text: str
    reward: float = 0.0
    fields: Mapping[str, Any] = field(default_factory=dict)


def group(number: int, members: Sequence[Said], *, source: int = 0, task: str = "") -> Group:
    return Group(
        source=source,
        number=number,
        reference="42",
        members=tuple(_trajectory(said, source, task or f"train/s{number}@1") for said in members),
    )


def _trajectory(said: Said, source: int, task: str) -> Trajectory:
    tokenizer = _tokenizer()
    text = said.text.encode("utf-8", "replace").decode()  # what a tokenizer can have said
    prompt, own = (tokenizer.encode(t).ids for t in ("<|user|>6*7?<|assistant|>", text))
    mask = np.arange(len(prompt) + len(own)) >= len(prompt)
    chance = np.random.default_rng(len(own))
    values: dict[str, Any] = dict(
        env_id=("math/Arithmetic-v1", "logic/Ordering-v1")[source],
        task_id=task,
        prompt_hash="0123456789abcdef",
        messages=[{"role": "user", "content": "6*7?"}],
        language="en",
        difficulty=1,
        token_ids=np.array([*prompt, *own], dtype=np.int64),
        loss_mask=mask,
        sampler_logprobs=np.where(mask, -chance.exponential(size=len(mask)), 0).astype(np.float32),
        versions=np.where(mask, 0, -1).astype(np.int32),
        rewards=((len(mask) - 1, said.reward),),
        components={"accuracy": said.reward},
        status=Status.OK,
        reason="",
        extracted=None,
        stop_reason="stop",
        text=said.text,
        actions=(said.text,),
    )
    return Trajectory(**(values | dict(said.fields)))


def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(base_dir() / "tokenizer.json"))


def write_run(folder: Path, steps: Mapping[int, Sequence[Group]]) -> Path:
    """Write a run's folder with these rollouts, as a run would."""
    stage = folder / "stages" / "01-zero"
    model = stage / "checkpoints" / "step-000001" / "model"
    model.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    shutil.copy(base_dir() / "tokenizer.json", model)
    optimizer = GRPO(GRPOConfig())
    for step, groups in steps.items():
        rollout = pack(groups)
        write_rollout(
            stage / "rollouts", step, groups, rollout.with_fields(optimizer.advantages(rollout))
        )
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@dataclass
class Opened:
    """A page of the viewer, and what it did that it should not."""

    page: Any
    requests: list[str]
    errors: list[str]


@pytest.fixture
def view(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Write a run with these rollouts, build its page, open it."""
    contexts: list[Any] = []

    def open_page(steps: Mapping[int, Sequence[Group]], **options: Any) -> Opened:
        file = build_view(write_run(tmp_path / "run", steps))
        context = browser.new_context(viewport={"width": 1400, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        opened = Opened(page, [], [])
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.on("console", lambda m: opened.errors.append(m.text) if m.type == "error" else None)
        page.on("dialog", lambda dialog: (opened.errors.append(dialog.message), dialog.dismiss()))
        page.goto(file.as_uri())
        page.wait_for_selector(".member")
        opened.requests.remove(file.as_uri())
        return opened

    yield open_page
    for context in contexts:
        context.close()
