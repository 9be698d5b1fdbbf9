"""A recipe's `reward_models`: options checked, one instance a run, and stages made anew by them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from palestra.errors import ConfigError
from palestra.grading.isolation import close_workers
from palestra.mixture.draw import make_mixture
from palestra.plugins.registry import get_registry, reset_registry
from palestra.recipe.config import Recipe, load_recipe
from palestra.recipe.graph import ancestors, stage_hash
from palestra.recipe.preflight import try_sources
from palestra.recipe.reward_models import make_reward_models

PLUGIN = """
from pydantic import BaseModel, ConfigDict, Field
from palestra import RewardModelSpec, Score

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    target: int = Field(default=10, ge=1)
    from_model: str = Field(default="", alias="from")

class Near:
    made = []

    def __init__(self, options):
        if options.target == 666:
            raise OSError("no such beast")
        self.options = options
        Near.made.append(self)

    def score(self, batch):
        return [Score(value=-abs(len(i.completion) - self.options.target)) for i in batch]

class Needy(BaseModel):
    address: str

def palestra_reward_models():
    return [
        RewardModelSpec(name="near", entry_point=f"{__name__}:Near", config=f"{__name__}:Options"),
        RewardModelSpec(name="needy", entry_point=f"{__name__}:Near", config=f"{__name__}:Needy"),
    ]
"""

RECIPE = """\
model: tiny
plugins: [./near.py]
reward_models:
  short: {type: near, target: 5}
  unused: {type: near, target: 7}
mixtures:
  own:
    sources:
      - {env: math/Arithmetic-v1, rewards: {accuracy: 1.0, short: 0.1}}
      - {env: logic/Ordering-v1, rewards: {accuracy: 1.0, model.short: 0.1, near: 0.1}}
stages:
  warm: &rl
    type: rl
    init_from: base
    mixture: own
    steps: 1
    prompts_per_step: 2
    group_size: 2
    sampling: {max_tokens: 8}
    optim: {learning_rate: 1.0e-4}
  zero: *rl
"""


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    reset_registry()
    yield
    close_workers()
    reset_registry()


@pytest.fixture
def load(tmp_path: Path):
    (tmp_path / "near.py").write_text(PLUGIN)

    def loaded(*overrides: str, change: tuple[str, str] = ("", "")) -> Recipe:
        text = RECIPE.replace(*change) if change[0] else RECIPE
        (tmp_path / "r.yaml").write_text(text)
        return load_recipe(tmp_path / "r.yaml", overrides)

    return loaded


def test_options_are_checked_by_their_plugin_and_defaults_filled_in(load):
    recipe = load()
    assert recipe.reward_models["short"].options == {"target": 5, "from": ""}
    assert load_recipe_again(recipe) == recipe.as_dict()


def load_recipe_again(recipe: Recipe) -> dict[str, object]:
    place = Path(recipe.plugins[0]).with_name("again.yaml")
    place.write_text(recipe.to_yaml())
    return load_recipe(place).as_dict()


def test_all_sources_of_a_run_share_one_instance(load):
    recipe = load()
    models = make_reward_models(recipe, lambda origin: origin)
    args = (recipe.mixtures["own"], get_registry(), "mixtures.own", 0)
    first = make_mixture(*args, "warm", models).sources
    second = make_mixture(*args, "zero", models).sources
    for source in (*first, *second):
        source.rewards.model_scores([])
    short, default = models.get("short"), models.get("near")
    assert (short.options.target, default.options.target) == (5, 10)
    assert type(short).made == [short, default]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("target: 5", "targt: 5"), r"r.yaml:4 .*short.targt: unknown key .*Did you mean 'target'"),
        (("target: 5", "target: 0"), r"r.yaml:4 .*short.target: should be greater"),
        (("type: near, target: 5", "type: naer"), r"short.type: no reward model 'naer'.*'near'"),
        (("model.short", "model.shorted"), r"no reward model 'shorted'. Did you mean 'short'"),
        (("accuracy: 1.0, short", "accuracy: 1.0, shorrt"), r"no reward 'shorrt'. .* 'short'"),
        (("near: 0.1", "needy: 0.1"), r"'needy' cannot do without options: `address` is required"),
        (("target: 5", "target: 5, from: waarm"), r"no stage or folder 'waarm'. Did you mean 'wa"),
        (("target: 5", "target: 5, from: ./no"), r"short.from: no model folder at './no'"),
        (("target: 5", "target: 5, from: student"), r"short.from: the recipe has no `student`"),
        (("target: 5", "target: 5, from: warm"), r"'warm' does not come before stage 'warm', whos"),
    ],
)
def test_a_slip_is_one_line_with_file_and_the_nearest_name(load, change, said):
    with pytest.raises(ConfigError, match=said) as caught:
        load(change=change)
    assert len(str(caught.value).splitlines()) == 1


def test_changed_options_make_the_stages_anew_that_pay_by_them(load):
    def hashes(*overrides: str) -> list[str]:
        recipe = load(*overrides)
        return [stage_hash(recipe, name) for name in recipe.stages]

    before = hashes()
    assert hashes("reward_models.unused.target=8") == before
    after = hashes("reward_models.short.target=6")
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_a_stage_needs_the_stage_that_its_reward_model_is_made_from(load):
    later = ("  zero: *rl", "  zero: {<<: *rl, mixture: later}")
    own = "[{env: math/Arithmetic-v1}]"
    ways = (
        f"mixtures.own.sources={own}",
        "mixtures.later={sources: [{env: math/Arithmetic-v1, rewards: {short: 1.0}}]}",
        "reward_models.short.from=warm",
    )
    recipe = load(*ways, change=later)
    assert ancestors(recipe, "zero") == {"warm"}
    models = make_reward_models(recipe, {"warm": "runs/x/warm/model"}.__getitem__)
    assert models.get("short").options.from_model == "runs/x/warm/model"
    more = load(*ways, "stages.warm.steps=2", change=later)
    assert stage_hash(recipe, "zero") != stage_hash(more, "zero")


def test_a_final_rl_in_two_parts_pays_preferences_in_the_last_part_only(load):
    """As R1's: rules for most steps, preferences at the end; two stages, one from the other."""
    ways = (
        "mixtures.own.sources=[{env: math/Arithmetic-v1, rewards: {accuracy: 1.0, format: 1.0}}]",
        "mixtures.later={sources: [{mixture: own, weight: 1}, "
        "{env: general/Helpfulness-v1, rewards: {short: 1.0, format: 1.0}}]}",
        "stages.warm.steps=1300",
        "stages.zero.steps=400",
    )
    parts = ("  zero: *rl", "  zero: {<<: *rl, mixture: later, init_from: warm}")

    def hashes(*more: str) -> list[str]:
        recipe = load(*ways, *more, change=parts)
        assert (recipe.stages["zero"].init_from, ancestors(recipe, "zero")) == ("warm", {"warm"})
        return [stage_hash(recipe, name) for name in ("warm", "zero")]

    before, after = hashes(), hashes("reward_models.short.target=6")
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_one_that_cannot_be_made_is_said_before_the_run(load):
    recipe = load("reward_models.short.target=666")
    with pytest.raises(
        ConfigError, match=r"reward_models\.short: reward model 'short': OSError: no"
    ):
        try_sources(recipe, list(recipe.stages))


def test_a_network_with_several_labels_is_one_line_before_the_run(load, tmp_path: Path):
    about = {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}
    about["id2label"] = {"0": "bad", "1": "so-so", "2": "good"}
    (tmp_path / "rm").mkdir()
    (tmp_path / "rm" / "config.json").write_text(json.dumps(about))
    recipe = load(change=("type: near, target: 5", "type: neural, from: rm"))
    with pytest.raises(ConfigError, match=r"r\.yaml:4 .*rm gives 3 numbers for a text") as said:
        try_sources(recipe, list(recipe.stages))
    assert len(str(said.value).splitlines()) == 1
