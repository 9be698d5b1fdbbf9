"""`extends` and nested mixtures: what is merged, and that a mistake points at the file it is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from palestra.errors import ConfigError
from palestra.recipe.config import Recipe, load_recipe
from palestra.recipe.graph import stage_hash
from palestra.stages.config import RLConfig

HERE = Path(__file__).parent
BASE = (HERE / "canonical.yaml").read_text()
ADD, ORDER = "{env: math/Arithmetic-v1, weight: 3}", "{env: logic/Ordering-v1, weight: 1}"


def files(folder: Path, **texts: str) -> Path:
    """Write ``NAME.yaml`` for each, and return the first's path."""
    paths = [folder / f"{name}.yaml" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text)
    return paths[0]


def zero(recipe: Recipe) -> RLConfig:
    stage = recipe.stages["zero"]
    assert isinstance(stage, RLConfig)
    return stage


def problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, overrides)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


# -- extends ---------------------------------------------------------------------------------------


def test_own_keys_win_and_the_rest_is_inherited(tmp_path: Path):
    mine = files(
        tmp_path, mine="extends: base.yaml\nstages: {zero: {steps: 7, optim: {learning_rate: 3e-4}}}\n", base=BASE
    )  # fmt: skip
    recipe = load_recipe(mine)
    assert (zero(recipe).steps, zero(recipe).optim.learning_rate) == (7, 3e-4)
    assert (zero(recipe).prompts_per_step, zero(recipe).optim.max_grad_norm) == (16, 1.0)
    assert recipe.name == "mine"
    assert "extends" not in recipe.as_dict()


def test_lists_are_replaced_and_stages_added(tmp_path: Path):
    text = (
        "extends: [base.yaml]\n"
        f"mixtures: {{reasoning: {{sources: [{ORDER}]}}}}\n"
        "stages: {again: {type: evaluate, init_from: zero}}\n"
    )
    recipe = load_recipe(
        files(tmp_path, mine=text, base=BASE + "eval: {envs: [math/Arithmetic-v1]}\n")
    )
    assert [s.env for s in recipe.mixtures["reasoning"].sources] == ["logic/Ordering-v1"]
    assert list(recipe.stages) == ["zero", "again"]


def test_later_bases_win_over_earlier_ones(tmp_path: Path):
    mine = files(
        tmp_path,
        mine="extends: [base.yaml, a.yaml, b.yaml]\n",
        base=BASE,
        a="stages: {zero: {steps: 5, group_size: 5}}\n",
        b="stages: {zero: {steps: 6}}\n",
    )
    assert (zero(load_recipe(mine)).steps, zero(load_recipe(mine)).group_size) == (6, 5)


def test_a_shipped_recipe_is_extended_by_its_name(tmp_path: Path):
    mine = files(tmp_path, mine="extends: r1-tiny\nstages: {zero: {steps: 3}}\n")
    recipe = load_recipe(mine)
    shipped = load_recipe("r1-tiny")
    assert (recipe.name, zero(recipe).steps) == ("mine", 3)
    assert list(recipe.stages) == list(shipped.stages)
    assert recipe.description == ""


def test_a_resolved_recipe_needs_its_base_no_more(tmp_path: Path):
    mine = files(tmp_path, mine="extends: r1-tiny\nseed: 3\n")
    resolved = load_recipe(mine).to_yaml()
    (tmp_path / "again").mkdir()
    again = load_recipe(files(tmp_path / "again", mine=resolved))
    assert again.to_yaml() == resolved


def test_another_type_replaces_the_whole_block(tmp_path: Path):
    block = "curriculum: {type: success_rate, low: 0.1}\n"
    base = BASE.replace("    sources:\n", f"    {block}    sources:\n")
    over = (
        "extends: base.yaml\nmixtures: {reasoning: {curriculum: "
        "{type: schedule, phases: [{from_step: 1, difficulty: 1}]}}}\n"
    )
    curriculum = load_recipe(files(tmp_path, mine=over, base=base)).mixtures["reasoning"].curriculum
    assert curriculum is not None
    assert set(curriculum.options) == {"phases"}


def test_own_keys_win_over_the_bases_when_model(tmp_path: Path):
    base = BASE + "when_model: {other: {stages.zero.steps: 11, stages.zero.group_size: 4}}\n"
    mine = files(tmp_path, mine="extends: base.yaml\nstages: {zero: {steps: 7}}\n", base=base)
    recipe = load_recipe(mine, ["model=org/name"])
    assert (zero(recipe).steps, zero(recipe).group_size) == (7, 4)
    assert (zero(load_recipe(mine)).steps, zero(load_recipe(mine)).group_size) == (7, 16)
    own = "extends: base.yaml\nwhen_model: {other: {stages.zero.steps: 9}}\n"
    recipe = load_recipe(files(tmp_path, mine=own, base=base), ["model=org/name"])
    assert zero(recipe).steps == 9
    assert dict(recipe.model_defaults)["stages.zero.steps"] == 9


def test_paths_start_from_the_file_they_are_written_in(tmp_path: Path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "p.jinja").write_text("x")
    (tmp_path / "lib" / "rows.jsonl").write_text('{"question": "q", "answer": "1"}\n')
    base = BASE.replace("prompt: r1_zero", "prompt: p.jinja").replace(
        "    sources:\n",
        "    sources:\n      - {env: math/Dataset-v1, kwargs: {path: rows.jsonl}}\n",
        1,
    )
    files(tmp_path / "lib", base=base)
    recipe = load_recipe(files(tmp_path, mine="extends: lib/base.yaml\n"))
    assert zero(recipe).prompt == str(tmp_path / "lib" / "p.jinja")
    path = recipe.mixtures["reasoning"].sources[0].kwargs["path"]
    assert path == str(tmp_path / "lib" / "rows.jsonl")


def test_a_mistake_in_a_base_points_at_the_base(tmp_path: Path):
    base = BASE.replace("steps: 60", "stepz: 60")
    line = base[: base.index("stepz")].count("\n") + 1
    mine = files(tmp_path, mine="extends: base.yaml\nstages: {zero: {group_size: 1}}\n", base=base)
    said = problems(mine)
    assert any(p.startswith(f"base.yaml:{line} stages.zero.stepz: unknown key") for p in said), said
    assert any(
        p.startswith("mine.yaml:2 stages.zero.group_size: should be at least 2") for p in said
    )


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"a": "extends: a.yaml\n"}, "a.yaml:1 extends: recipes extend each other: a.yaml > a.yaml"),
        (
            {"a": "extends: b.yaml\n", "b": "seed: 1\nextends: [c.yaml]\n", "c": "extends: a.yaml\n"},
            "c.yaml:1 extends: recipes extend each other: a.yaml > b.yaml > c.yaml > a.yaml",
        ),
        ({"a": "extends: bse.yaml\n", "base": BASE}, "a.yaml:1 extends: no file bse.yaml. Did you mean 'base.yaml'?"),
        ({"a": "extends: r1-tny\n"}, "a.yaml:1 extends: no shipped recipe, and no file r1-tny."),
        ({"a": "extends: 3\n"}, "a.yaml:1 extends: should be a recipe's name or file, not 3"),
        ({"a": "extends: [[b]]\n"}, "a.yaml:1 extends.0: should be a recipe's name or file"),
        ({"a": "extends: b.yaml\n", "b": "x: [\n"}, "b.yaml:2:1: does not parse as YAML"),
    ],
)  # fmt: skip
def test_an_extends_that_leads_nowhere_is_one_line(
    texts: dict[str, str], said: str, tmp_path: Path
):
    (found,) = problems(files(tmp_path, **texts))
    assert found.startswith(said), found


def test_the_hash_is_that_of_the_resolved_recipe(tmp_path: Path):
    mine = load_recipe(files(tmp_path, mine="extends: base.yaml\n", base=BASE))
    base = load_recipe(tmp_path / "base.yaml")
    assert stage_hash(mine, "zero") == stage_hash(base, "zero")


# -- nested mixtures -------------------------------------------------------------------------------


def nested(tmp_path: Path, inner: str, outer: str, *overrides: str) -> Recipe:
    return load_recipe(files(tmp_path, mine=with_mixtures(inner, outer)), overrides)


def with_mixtures(inner: str, outer: str) -> str:
    head, _, rest = BASE.partition("mixtures:\n")
    stages = rest[rest.index("stages:") :]
    return f"{head}mixtures:\n  inner: {{sources: [{inner}]}}\n  reasoning: {{sources: [{outer}]}}\n{stages}"


def test_a_nested_mixture_shares_its_weight(tmp_path: Path):
    general = "{env: general/Instructions-v1, weight: 5}"
    recipe = nested(tmp_path, f"{ADD}, {ORDER}", f"{general}, {{mixture: inner, weight: 2}}")
    found = [(s.env, s.weight) for s in recipe.mixtures["reasoning"].sources]
    assert found == [
        ("general/Instructions-v1", 5),
        ("math/Arithmetic-v1", 1.5),
        ("logic/Ordering-v1", 0.5),
    ]
    assert len(recipe.mixtures["inner"].sources) == 2
    again = load_recipe(files(tmp_path, again=recipe.to_yaml()))
    assert again.mixtures == recipe.mixtures


def test_quotas_and_floors_of_a_nested_mixture_stay(tmp_path: Path):
    inner = "{env: math/Arithmetic-v1, quota: 4}, {env: logic/Ordering-v1, weight: 9, floor: 0.25}"
    sources = nested(tmp_path, inner, "{mixture: inner}").mixtures["reasoning"].sources
    assert [(s.quota, s.weight, s.floor) for s in sources] == [(4, 0, 0), (None, 1, 0.25)]


def test_an_override_reaches_the_entry_as_it_was_written(tmp_path: Path):
    set_ = "mixtures.reasoning.sources.0.weight=4"
    recipe = nested(tmp_path, f"{ADD}, {ORDER}", "{mixture: inner}", set_)
    assert [s.weight for s in recipe.mixtures["reasoning"].sources] == [3, 1]


def test_a_mistake_within_a_nested_mixture_points_at_its_line(tmp_path: Path):
    text = with_mixtures("{env: math/Arithmetik-v1}", f"{ORDER}, {{mixture: inner}}")
    line = text[: text.index("Arithmetik")].count("\n") + 1
    said = problems(files(tmp_path, mine=text))
    assert all(p.startswith(f"mine.yaml:{line} ") for p in said), said


@pytest.mark.parametrize(
    ("inner", "outer", "said"),
    [
        ("{mixture: reasoning}", "{mixture: inner}", "mixtures hold each other: inner > reasoning > inner"),
        (ADD, "{mixture: reasoning}", "sources.0.mixture: mixtures hold each other: reasoning > reasoning"),
        (ADD, "{mixture: iner}", "sources.0.mixture: no mixture 'iner'. Did you mean 'inner'?"),
        (ADD, "{mixture: inner, quota: 2}", "unknown key 'quota'. A nested mixture takes: mixture, weight"),
        (ADD, "{mixture: inner, weight: -1}", "weight: should be a finite number of at least 0, not -1"),
        (ADD, "{mixture: inner, weight: much}", "weight: should be a number, not 'much'"),
    ],
)  # fmt: skip
def test_a_nested_mixture_that_cannot_be_is_named(
    inner: str, outer: str, said: str, tmp_path: Path
):
    text = with_mixtures(inner, outer)
    found = problems(files(tmp_path, mine=text))
    line = text[: text.index("  reasoning: {sources")].count("\n") + 1
    hits = [p for p in found if said in p]
    assert hits, found
    assert hits[0].startswith((f"mine.yaml:{line} ", f"mine.yaml:{line - 1} "))


def test_a_curriculum_belongs_to_the_mixture_that_is_drawn_from(tmp_path: Path):
    text = with_mixtures(ADD, "{mixture: inner}").replace(
        "inner: {", "inner: {curriculum: {type: success_rate}, ", 1
    )
    (found,) = problems(files(tmp_path, mine=text))
    assert "mixture 'inner' has a curriculum of its own" in found
    assert "'reasoning'" in found


# -- whether stage and mixture fit -----------------------------------------------------------------

UNFIT = [
    ("{env: math/Arithmetic-v1, quota: 17}", "the quotas ask for 17 prompts, and prompts_per_step of stage 'zero' is 16"),
    ("{env: math/Arithmetic-v1, quota: 7}", "the quotas make 7 prompts, and no source has a weight"),
    (
        "{env: math/Arithmetic-v1, quota: 15}, {env: logic/Ordering-v1, floor: 0.1}",
        "quotas (15) and floors (2, rounded up) ask for 17",
    ),
    ("{env: math/Arithmetic-v1, floor: 1.5}", "floor: should be less than or equal to 1, not 1.5"),
    ("{env: math/Arithmetic-v1, weight: 0}", "every weight is 0"),
    ("{env: math/Arithmetic-v1, quota: 2, weight: 1}", "has both `quota` and `weight`"),
    ("{env: math/Arithmetic-v1, group_size: 1}", "group_size: should be at least 2 with grpo"),
    (
        "{env: math/Arithmetic-v1, sampling: {temperature: 0.6}}",
        "sampling.temperature: should be 1 in the rl stage 'zero', not 0.6",
    ),
    ("{env: math/Arithmetic-v1, sampling: {top_p: 0.9}}", "sampling.top_p: should be 1 in the rl stage"),
    ("{env: math/Arithmetic-v1, sampling: {temprature: 1.0}}", "unknown key 'temprature'. Did you mean 'temperature'"),
    ("{env: math/Arithmetic-v1, rewards: {accuracy: .nan}}", "rewards.accuracy: should be a finite number"),
    ("{env: math/Arithmetic-v1, rewards: {accuracy: much}}", "rewards.accuracy: should be a number, not 'much'"),
    ("{env: math/Arithmetic-v1, on_length: no}", "In YAML 1.2 `no` is text; a truth value is written false"),
    ("{env: math/Arithmetic-v1, weight: '1e-4'}", "It is text: write 0.0001, without quotes"),
    ("{env: math/Arithmetic-v1, weight: 012}", "It is text: write 12, without quotes or leading zeros"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "said"), UNFIT, ids=[source for source, _ in UNFIT])
def test_a_mixture_that_a_stage_cannot_draw_from_is_named(source: str, said: str, tmp_path: Path):
    text = with_mixtures(ADD, source)
    found = problems(files(tmp_path, mine=text))
    line = text[: text.index("  reasoning: {sources")].count("\n") + 1
    assert [p for p in found if said in p and p.startswith(f"mine.yaml:{line} ")], found


def test_a_curriculum_is_for_rl(tmp_path: Path):
    text = (HERE / "whole.yaml").read_text()
    text = text.replace("  reasoning:\n", "  reasoning:\n    curriculum: {type: success_rate}\n")
    (found,) = problems(files(tmp_path, mine=text))
    assert "a curriculum moves with the steps of an rl stage, and 'rejection' is none" in found


CURRICULA = [
    ("{type: sucess_rate}", "curriculum.type: no curriculum 'sucess_rate'. Did you mean 'success_rate'"),
    ("{type: success_rate, lw: 1}", "curriculum.lw: unknown key 'lw'. Did you mean 'low'"),
    ("{type: success_rate, low: 0.9}", "curriculum.high: should be above `low`, 0.9, not 0.8"),
    ("{low: 0.9}", "curriculum.type: is required"),
    ("{type: schedule, phases: [{from_step: 0, difficulty: 1}]}", "phases.0.from_step: should be greater than"),
]  # fmt: skip


@pytest.mark.parametrize(("block", "said"), CURRICULA, ids=[block for block, _ in CURRICULA])
def test_a_wrong_curriculum_is_named(block: str, said: str, tmp_path: Path):
    text = BASE.replace("    sources:\n", f"    curriculum: {block}\n    sources:\n", 1)
    line = text[: text.index("curriculum:")].count("\n") + 1
    found = problems(files(tmp_path, mine=text))
    assert [p for p in found if said in p and p.startswith(f"mine.yaml:{line} ")], found


# -- data sets -------------------------------------------------------------------------------------


def test_a_stage_is_made_anew_when_its_data_set_changes(tmp_path: Path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "1+1?", "answer": "2"}\n')
    text = BASE.replace(
        "    sources:\n",
        "    sources:\n      - {env: math/Dataset-v1, kwargs: {path: rows.jsonl}}\n",
        1,
    )
    first = stage_hash(load_recipe(files(tmp_path, mine=text)), "zero")
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "rows.jsonl").write_bytes(rows.read_bytes())
    assert stage_hash(load_recipe(files(moved, mine=text)), "zero") == first
    rows.write_text('{"question": "1+1?", "answer": "3"}\n{"question": "2+1?", "answer": "3"}\n')
    assert stage_hash(load_recipe(tmp_path / "mine.yaml"), "zero") != first


def test_an_argument_that_is_no_file_is_left_alone(tmp_path: Path):
    (tmp_path / "question").write_text("a file of that name")
    text = BASE.replace(
        "    sources:\n",
        "    sources:\n      - {env: math/Dataset-v1, kwargs: {path: no.jsonl, question: question}}\n",
        1,
    )
    kwargs = load_recipe(files(tmp_path, mine=text)).mixtures["reasoning"].sources[0].kwargs
    assert kwargs == {"path": "no.jsonl", "question": "question"}
