"""The hacking watch: its trend test, when it fires and when it must not, and that it stops a stage."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra.envs import Score
from palestra.errors import ConfigError
from palestra.plugins.registry import Registry
from palestra.recipe.config import load_recipe
from palestra.recipe.run import run_recipe
from palestra.rewards.config import WatchConfig
from palestra.rewards.models import RewardModels
from palestra.stages.measures import TIMES
from palestra.stages.watch import SURE, HackingWatch, trend

ONE_PROCESS: Any = SimpleNamespace(num_processes=1, is_main_process=True)
ENVS = """\
      - {{env: math/Arithmetic-v1, difficulty: 1, rewards: {rewards}}}
      - {{env: logic/Ordering-v1, difficulty: 1, rewards: {rewards}}}
      - {{env: code/Expression-v1, difficulty: 1, rewards: {rewards}}}
      - {{env: language/Consistency-v1, kwargs: {{languages: [en, zh]}}, difficulty: 1, rewards: {rewards}}}
"""
STAGE = """\
model: tiny
engine: {{threads: 1, sampler: {{type: transformers, max_batch: 512}}, token_budget: 8192}}
reward_models: {{long: {{type: length, target: 96}}}}
mixtures:
  own:
    sources:
{sources}
stages:
  rl:
    type: rl
    init_from: base
    mixture: own
    steps: 50
    prompts_per_step: 8
    group_size: 8
    sampling: {{max_tokens: 48}}
    optim: {{learning_rate: 4.0e-4}}
    watch: {{gold: {gold}, stop: true}}
    save_steps: 50
"""


def write(folder: Path, rewards: str, gold: str) -> Path:
    """A recipe on r1-tiny's environments."""
    (folder / "r.yaml").write_text(STAGE.format(sources=ENVS.format(rewards=rewards), gold=gold))
    return folder / "r.yaml"


# -- the trend test -----------------------------------------------------------------------------


def test_the_trend_is_mann_and_kendalls():
    """S = 10, variance 5 x 4 x 15 / 18; then one tie of two: S = 9, variance less 2 x 1 x 9 / 18."""
    assert trend([1, 2, 3, 4, 5]) == pytest.approx((10 - 1) / math.sqrt(300 / 18))
    assert trend([5, 4, 3, 2, 1]) == -trend([1, 2, 3, 4, 5])
    assert trend([1, 2, 2, 4, 5]) == pytest.approx((9 - 1) / math.sqrt((300 - 18) / 18))
    assert trend([3, 3, 3]) == trend([1]) == trend([]) == 0


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.floats(0.5, 100), st.floats(-9, 9)
)
def test_neither_scale_nor_shift_matters_and_backwards_is_the_opposite(values, scale, shift):
    moved = [math.fsum((value * 2 ** round(scale), 0)) for value in values]
    assert trend(moved) == trend(values)
    assert trend(values[::-1]) == pytest.approx(-trend(values))


# -- when it fires ------------------------------------------------------------------------------


def group(reward: float, **components: float) -> Any:
    member = SimpleNamespace(
        reward=reward, components=components, messages=[], actions=("a",), language=None,
        env_id="e", task_id="t", length=3, stop_reason="stop", extracted=None,
    )  # fmt: skip
    return SimpleNamespace(valid=(member,), number=0, reference=None)


def watched(config: WatchConfig, proxies: list[float], golds: list[float]) -> HackingWatch:
    watch = HackingWatch(config, RewardModels(Registry()), ONE_PROCESS)
    for step, (proxy, gold) in enumerate(zip(proxies, golds, strict=True), start=1):
        watch.measure(step, [group(proxy, accuracy=gold)])
    return watch


CONFIG = WatchConfig(gold="accuracy", window=20)
UP, DOWN = [i / 50 for i in range(50)], [1 - i / 50 for i in range(50)]


@pytest.mark.parametrize(
    ("proxies", "golds", "at"),
    [(UP, DOWN, 20), (UP, UP, None), (DOWN, DOWN, None), (DOWN, UP, None), (UP, [0.5] * 50, None)],
)
def test_it_fires_where_the_reward_rises_and_the_gold_falls(proxies, golds, at):
    watch = watched(CONFIG, proxies, golds)
    assert watch.diverged == at
    assert not watch.must_stop
    assert ("Reward hacking: at step 20" in watch.facts(50)["notes"][0]) == (at is not None)


def test_noise_fires_at_no_more_than_its_rate():
    """Two independent trends at p < 0.01 each: about one window in ten thousand."""
    noise = random.Random(0)
    fired = 0
    for _ in range(200):
        series = [[noise.gauss(0, 1) for _ in range(50)] for _ in range(2)]
        fired += watched(CONFIG, *series).diverged is not None
    assert fired <= 3


def test_it_measures_only_when_due_and_resumes_as_it_was():
    config = WatchConfig(gold="env.accuracy", every=2, window=6, stop=True)
    watch = watched(config, UP, DOWN)
    assert watch.diverged == 12
    assert watch.must_stop
    assert [step for step, _, _ in watch.measured] == [40, 42, 44, 46, 48, 50]
    again = HackingWatch(config, RewardModels(Registry()), ONE_PROCESS)
    again.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    assert again.measure(52, [group(1.0, accuracy=0.0)]) == watch.measure(
        52, [group(1.0, accuracy=0.0)]
    )
    assert (again.measured, again.diverged) == (watch.measured, watch.diverged)


def test_a_gold_model_sees_the_same_rollouts_and_its_failures_cost_a_measurement():
    class Models(RewardModels):
        names = ("gold",)  # type: ignore[assignment]

        def get(self, name: str) -> Any:
            return self

        def score(self, batch):
            self.batch = batch
            if len(batch) == 1:
                raise OSError("down")
            return [Score(value=0.25), Score.failed("no")]

    models = Models(Registry())
    watch = HackingWatch(WatchConfig(gold="gold"), models, ONE_PROCESS)
    measured = watch.measure(1, [group(3.0), group(5.0)])
    assert (measured["watch/proxy"], measured["watch/gold"]) == (3.0, 0.25)
    assert models.batch[0].tokens == 3
    assert watch.measure(2, [group(3.0)]) == {}


def test_a_gold_that_nobody_emits_is_named():
    watch = HackingWatch(WatchConfig(gold="env.acuracy"), RewardModels(Registry()), ONE_PROCESS)
    with pytest.raises(ConfigError, match=r"the mixture emits 'acuracy'\. Did you mean 'accuracy'"):
        watch.measure(1, [group(1.0, accuracy=1.0)])


@pytest.mark.parametrize(
    ("rewards", "gold", "said"),
    [
        ("{accuracy: 1.0}", "accuracy", "'accuracy' trains already: math/Arithmetic-v1 is paid by"),
        ("{model.format: 1.0}", "format", "'format' trains already"),
        ("{accuracy: 1.0}", "formt", "no reward 'formt'. Did you mean 'format'"),
        ("{accuracy: 1.0}", "model.lang", "no reward model 'lang'"),
    ],
)
def test_a_gold_that_trains_or_is_not_there_is_refused(tmp_path: Path, rewards, gold, said):
    with pytest.raises(ConfigError, match=said):
        load_recipe(write(tmp_path, rewards, gold))


# -- in a run -----------------------------------------------------------------------------------


def rows(run: Path) -> list[dict[str, Any]]:
    text = (run / "stages/01-rl/metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_a_planted_proxy_is_found_within_50_steps_and_the_stage_stops(tmp_path: Path):
    """A reward for length alone, on r1-tiny's environments; the gold is their lenient accuracy."""
    recipe = load_recipe(write(tmp_path, "{long: 1.0}", "lenient_accuracy"))
    run = run_recipe(recipe, output=tmp_path / "run")
    (stage,) = json.loads((run / "results.json").read_text())["stages"]
    at = stage["facts"]["watch"]["diverged"]
    assert 20 <= at <= 50
    assert stage["steps"] == at == len(rows(run))
    assert [row["watch/diverging"] for row in rows(run)] == [0.0] * (at - 1) + [1.0]
    assert rows(run)[-1]["watch/proxy_trend"] > SURE
    page = (run / "report/index.html").read_text()
    assert f"Reward hacking: at step {at}" in page
    assert f"stopped at step {at}" in page
    assert list((run / "stages/01-rl/checkpoints").glob(f"step-{at:06d}/model"))
    manifest = json.loads(
        (run / "manifest.json").read_text()
    )  # killed behind its end: no more steps
    manifest["stages"]["rl"]["finished"] = False
    (run / "manifest.json").write_text(json.dumps(manifest))
    before = [{k: v for k, v in row.items() if not k.startswith(TIMES)} for row in rows(run)]
    run_recipe(recipe, output=run, resume=True)
    assert [{k: v for k, v in r.items() if not k.startswith(TIMES)} for r in rows(run)] == before
    assert json.loads((run / "results.json").read_text())["stages"][0]["facts"] == stage["facts"]


@pytest.mark.slow
def test_a_good_proxy_is_left_alone_for_50_steps(tmp_path: Path):
    recipe = load_recipe(write(tmp_path, "{accuracy: 1.0, format: 0.1}", "lenient_accuracy"))
    run = run_recipe(recipe, output=tmp_path / "run")
    (stage,) = json.loads((run / "results.json").read_text())["stages"]
    assert stage["facts"]["watch"]["diverged"] is None
    assert stage["steps"] == 50
    assert not any(row["watch/diverging"] for row in rows(run))
    assert rows(run)[-1]["watch/gold"] > rows(run)[0]["watch/gold"]
