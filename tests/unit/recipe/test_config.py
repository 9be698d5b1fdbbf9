"""Loading recipes: what is read, what is refused, and that every mistake has a file and a line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from palestra.errors import ConfigError, NotFound
from palestra.recipe.config import Recipe, load_recipe, recipe_text, shipped_recipes
from palestra.recipe.document import parse_document, yaml_dumper
from palestra.stages.config import DistillConfig, RLConfig, SFTConfig

HERE = Path(__file__).parent
CANONICAL = (HERE / "canonical.yaml").read_text()
WHOLE = (HERE / "whole.yaml").read_text()


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    return load_recipe(file, overrides)


def problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """The lines of the error that loading `text` raises, with the file's name for its path."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_canonical_recipe_loads():
    recipe = load_recipe(HERE / "canonical.yaml")
    zero = recipe.stages["zero"]
    assert isinstance(zero, RLConfig)
    assert (recipe.name, recipe.model, recipe.seed) == ("canonical", "tiny", 0)
    assert (zero.steps, zero.group_size, zero.sampling.max_tokens) == (60, 16, 128)
    assert zero.optim.learning_rate == 1e-4
    assert zero.optimizer.type == "grpo"
    assert zero.optimizer.options["clip"] == 0.2
    assert zero.optimizer.options["std"] == "sample"  # the plugin's default, filled in
    assert recipe.mixtures["reasoning"].sources[0].difficulty == (1, 3)
    assert zero.eval is not None
    assert [e.env for e in zero.eval.envs] == ["math/Arithmetic-v1"]


def test_every_type_of_stage_loads_and_takes_the_recipes_eval():
    recipe = load_recipe(HERE / "whole.yaml")
    zero, sft = recipe.stages["zero"], recipe.stages["sft"]
    assert isinstance(sft, SFTConfig)
    assert isinstance(recipe.stages["distilled"], DistillConfig)
    assert sft.data[0].from_stage == "rejection"
    assert sft.optim.betas == (0.9, 0.95)
    assert zero.eval is not None
    assert (zero.eval.questions, zero.eval.samples, zero.eval.every) == (20, 8, 5)
    assert sft.eval == recipe.eval
    assert recipe.stages["rejection"].eval is None


def test_rejection_sampling_does_not_inherit_eval(tmp_path: Path):
    recipe = load(tmp_path, WHOLE.replace("    eval: null\n", ""))
    assert recipe.stages["rejection"].eval is None


@pytest.mark.parametrize("name", ["canonical", "whole"])
def test_resolved_yaml_gives_the_same_recipe(name: str, tmp_path: Path):
    recipe = load_recipe(HERE / f"{name}.yaml", ["stages.zero.steps=7"], seed=3)
    again = load(tmp_path, recipe.to_yaml())
    assert again.as_dict() == recipe.as_dict()
    assert again.to_yaml() == recipe.to_yaml()


def test_resolved_yaml_keeps_text_that_looks_like_something_else():
    data = {"a": "1e-4", "b": "no", "c": "012", "d": "true", "e": "", "f": 1e-4, "g": None}
    text = yaml.dump(data, Dumper=yaml_dumper())
    assert parse_document(text, "a.yaml").data == data
    assert yaml.safe_load(text) == data


# What is wrong with one line of the canonical recipe: old, new, and what is said about the new.
BAD_LINES = [
    (
        "type: grpo",
        "type: grop",
        r"stages\.zero\.optimizer\.type: .*'grop'.*[Dd]id you mean 'grpo'",
    ),
    ("clip: 0.2", "clap: 0.2", r"stages\.zero\.optimizer\.clap: unknown key.*Did you mean 'clip'"),
    ("clip: 0.2", "clip: much", r"stages\.zero\.optimizer\.clip: should be a number, not 'much'"),
    ("steps: 60", "stepz: 60", r"stages\.zero\.stepz: unknown key.*Did you mean 'steps'"),
    ("steps: 60", "steps: sixty", r"stages\.zero\.steps: should be a.* integer, not 'sixty'"),
    ("steps: 60", "steps: true", r"stages\.zero\.steps: should be a.* integer, not True"),
    ("steps: 60", "steps: 0", r"stages\.zero\.steps: should be greater than or equal to 1, not 0"),
    ("group_size: 16", "group_size: 1", r"stages\.zero\.group_size: .*at least 2 with grpo, not 1"),
    ("temperature: 1.0", "temperature: 0", r"sampling\.temperature: should be above 0.*greedy"),
    ("max_tokens: 128", "top_p: 0.9", r"sampling\.top_p: should be 1 in an rl stage.*full softmax"),
    ("max_tokens: 128", "top_k: 5", r"sampling\.top_k: should be 0 in an rl stage.*full softmax"),
    (
        "weight: 3",
        "weight: -3",
        r"sources\.0\.weight: should be greater than or equal to 0, not -3",
    ),
    ("weight: 3", "wieght: 3", r"sources\.0\.wieght: unknown key.*Did you mean 'weight'"),
    ("difficulty: [1, 3]", "difficulty: [3, 1]", r"sources\.0\.difficulty: the first level"),
    ("difficulty: [1, 3]", "difficulty: hard", r"sources\.0\.difficulty: should be a level"),
    ("Arithmetic-v1, weight", "Arithmetik-v1, weight", r"env: .*Did you mean 'math/Arithmetic-v1'"),
    ("split: train", "split: training", r"split: should be 'train', .* not 'training'.*'train'"),
    ("format: 0.1", "fromat: 0.1", r"rewards\.fromat: no reward 'fromat'. Did you mean 'format'"),
    ("format: 0.1", "model.nope: 0.1", r"rewards\.model\.nope: no reward model 'nope'"),
    ("format: 0.1", "format: .nan", r"rewards\.format: should be a finite number"),
    ("init_from: base ", "init_from: bas ", r"init_from: no stage 'bas'. Did you mean 'base'"),
    ("init_from: base ", "init_from: student ", r"init_from: the recipe has no `student`"),
    ("init_from: base ", "init_from: zero ", r"init_from: 'zero' does not come before this stage"),
    ("mixture: reasoning", "mixture: resoning", r"mixture: no mixture 'resoning'. Did you mean"),
    ("prompt: r1_zero", "prompt: r2", r"prompt: should be one of r1_zero, chat, raw, or a .jinja"),
    ("prompt: r1_zero", "prompt: a.jinja", r"prompt: no template at .*a\.jinja"),
    ("role: zero ", "role: hero ", r"role: should be .* not 'hero'. Did you mean 'zero'"),
    ("type: rl", "type: rll", r"type: no stage type 'rll'. Did you mean 'rl'"),
    ("samples: 4", "samples: 2, pass_at: [4]", r"pass_at: pass@4 needs at least 4 samples"),
    ("samples: 4", "zzz: 1", r"eval\.zzz: unknown key 'zzz.\. It takes: envs"),
    ("envs: [math/Arithmetic-v1]", "envs: []", r"eval\.envs: should not be empty"),
    ("precision: fp32", "precision: fp8", r"engine\.precision: should be 'fp32', 'bf16' or 'fp16'"),
    ("type: transformers", "type: transfomers", r"engine\.sampler\.type: .*Did you mean 'transf"),
    ("model: tiny", "modle: tiny", r"modle: unknown key.*Did you mean 'model'"),
    ("model: tiny", "model: ./nowhere", r"model: no model folder at '.*nowhere'"),
    ("plugins: []", "plugins: [./no.py]", r"plugins\.0: no plugin file at .*no\.py"),
    ("seed: 0", "seed: -1", r"seed: should be greater than or equal to 0, not -1"),
    (
        "mini_batches: 1",
        "mini_batches: 999",
        r"mini_batches: should be at most the 256 completions",
    ),
    ("mini_batches: 1", "min_group: 17", r"min_group: should be at most `group_size`, 16, not 17"),
    ("learning_rate: 1.0e-4", "learning_rate: '1e-4'", r"learning_rate: should be a number"),
    ("  zero:", "  base:", r"stages\.base: 'base' is reserved"),
    ("  zero:", "  ../up:", r"a stage's name is a folder's too"),
]


@pytest.mark.parametrize(("old", "new", "said"), BAD_LINES, ids=[new for _, new, _ in BAD_LINES])
def test_a_mistake_is_named_with_file_and_line(old: str, new: str, said: str, tmp_path: Path):
    text = CANONICAL.replace(old, new, 1)
    assert text != CANONICAL
    found = problems(tmp_path, text)
    line = line_of(text, new)
    hits = [p for p in found if re.search(said, p)]
    assert hits, found
    assert hits[0].startswith(f"recipe.yaml:{line} "), found


@pytest.mark.parametrize("missing", ["model: tiny", "steps: 60", "init_from: base"])
def test_a_missing_key_is_required(missing: str, tmp_path: Path):
    text = re.sub(rf"^ *{missing}.*\n", "", CANONICAL, flags=re.MULTILINE)
    (found,) = problems(tmp_path, text)
    assert re.search(rf"{missing.split(':')[0]}: is required", found)


def test_an_empty_mixture_is_refused(tmp_path: Path):
    text = re.sub(r"    sources:\n.*\n", "    sources: []\n", CANONICAL)
    assert "mixtures.reasoning.sources: should not be empty" in problems(tmp_path, text)[0]


def test_all_mistakes_are_said_at_once(tmp_path: Path):
    text = CANONICAL.replace("steps: 60", "steps: x").replace("weight: 3", "weight: -1")
    text = text.replace("type: grpo", "type: grop").replace("precision: fp32", "precision: no")
    found = problems(tmp_path, text)
    assert len(found) == 4
    assert all(p.startswith("recipe.yaml:") for p in found)


def test_all_mistakes_of_the_graph_are_said_at_once(tmp_path: Path):
    text = CANONICAL.replace("init_from: base", "init_from: bse").replace(
        "format: 0.1", "fromat: 1"
    )
    assert len(problems(tmp_path, text)) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: tiny\nstages: {a: [}\n", r"^recipe.yaml:2:14: does not parse as YAML: "),
        ("model: tiny\n  x: 1\n", r"^recipe.yaml:2:4: does not parse as YAML: .*mapping"),
        ("", r"^recipe.yaml: is empty"),
        ("- a\n", r"^recipe.yaml: should be a mapping"),
        ("a: 1\n---\nb: 1\n", r"^recipe.yaml:2:1: does not parse"),
        ("a: !!python/object:os.system x\n", r"^recipe.yaml:1:4: does not parse"),
        ("a: &a [*a]\n", r"^recipe.yaml:1 a.0: an alias that contains itself"),
        ("a: \x00\n", r"^recipe.yaml: does not parse"),
        ("? [a]\n: 1\n", r"^recipe.yaml:1 .*a key should be text"),
        ("a: " + "[" * 3000, r"^recipe.yaml:?.* (is nested too deeply|does not parse as YAML)"),
        ("a: " + "[" * 700 + "]" * 700, r"^recipe.yaml: is nested too deeply"),
    ],
)
def test_text_that_does_not_parse_has_line_and_column(text: str, said: str, tmp_path: Path):
    (found,) = problems(tmp_path, text)
    assert re.search(said, found), found


def test_aliases_that_explode_are_refused(tmp_path: Path):
    rows = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (found,) = problems(tmp_path, "\n".join(rows))
    assert "has more than" in found


def test_merge_keys_and_anchors_work(tmp_path: Path):
    text = CANONICAL.replace("    optim: {", "    optim: &o {").rstrip("\n") + (
        "\n  more:\n    <<: {type: sft, init_from: zero}\n    batch_size: 2\n    steps: 1\n"
        "    data: [{env: math/Arithmetic-v1, count: 3}]\n    optim: *o\n"
    )
    assert load(tmp_path, text).stages["more"].init_from == "zero"


def test_a_key_written_twice_is_refused(tmp_path: Path):
    text = CANONICAL.replace("    steps: 60\n", "    steps: 60\n    steps: 61\n")
    (found,) = problems(tmp_path, text)
    line = line_of(text, "    steps: 61")
    assert found == f"recipe.yaml:{line} stages.zero.steps: written twice, first on line {line - 1}"


def test_a_file_that_is_not_text_is_refused(tmp_path: Path):
    file = tmp_path / "recipe.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_recipe(file)
    with pytest.raises(ConfigError, match="is a folder"):
        load_recipe(tmp_path)


def test_an_unknown_recipe_is_not_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "r1-test.yaml").write_text(f"description: A test.\n{CANONICAL}")
    monkeypatch.setattr("palestra.recipe.config._shipped", lambda: tmp_path)
    with pytest.raises(NotFound, match=r"no recipe 'r1-tset'. Did you mean 'r1-test'\? Shipped: "):
        load_recipe("r1-tset")
    with pytest.raises(NotFound, match=r"no recipe file 'x/r1-test.yaml'"):
        load_recipe("x/r1-test.yaml")
    assert load_recipe("r1-test").name == "r1-test"
    assert shipped_recipes() == [("r1-test", "A test.")]
    assert recipe_text("r1-test").endswith(CANONICAL)


def test_overrides_are_yaml(tmp_path: Path):
    recipe = load(
        tmp_path,
        CANONICAL,
        "stages.zero.steps=5",
        "stages.zero.optim.learning_rate=1e-3",
        "mixtures.reasoning.sources.0.rewards={accuracy: 2}",
        "engine.sampler.max_batch=4",
        "stages.zero.eval.greedy=false",
        "seed=7",
    )
    zero = recipe.stages["zero"]
    assert isinstance(zero, RLConfig)
    assert (zero.steps, zero.optim.learning_rate, recipe.seed) == (5, 1e-3, 7)
    assert recipe.mixtures["reasoning"].sources[0].rewards == {"accuracy": 2}
    assert recipe.engine.sampler.max_batch == 4
    assert zero.eval is not None
    assert zero.eval.greedy is False


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stages.zero.steps=abc", "--set stages.zero.steps=abc stages.zero.steps: should be a"),
        (
            "stages.zero.stepz=1",
            "--set stages.zero.stepz=1 stages.zero.stepz: unknown key 'stepz'.",
        ),
        ("stages.zro.steps=1", "--set stages.zro.steps=1: no stage 'zro'. Did you mean 'zero'?"),
        ("stages.zero.steps.x=1", "--set stages.zero.steps.x=1: stages.zero.steps is 60, which"),
        ("mixtures.reasoning.sources.3.weight=1", "mixtures.reasoning.sources is a list of 1: '3'"),
        (
            "mixtures.reasoning.sources.0.weight=-1",
            "sources.0.weight: should be greater than or equal to 0",
        ),
        ("steps", "--set steps: should be KEY=VALUE"),
        ("=1", "--set =1: should be KEY=VALUE"),
        ("stages.zero.optimizer={type: [}", "does not parse as YAML"),
        (
            "stages.zero.optimizer.type=gpro",
            "--set stages.zero.optimizer.type=gpro stages.zero.opt",
        ),
        ("model=./nowhere", "--set model=./nowhere model: no model folder at"),
        ("when_model.tiny.seed=1", "set the keys themselves"),
    ],
)
def test_a_wrong_override_is_named(override: str, said: str, tmp_path: Path):
    (found,) = problems(tmp_path, CANONICAL, override)
    assert said in found


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("{type: vlm}", "no sampler 'vlm'. Did you mean 'vllm'?"),
        ("{type: vllm, max_bach: 4}", "unknown key 'max_bach'. Did you mean 'max_batch'?"),
        ("{type: transformers, max_model_len: 4}", "unknown key 'max_model_len'. It takes: "),
        ("{type: vllm-server}", "engine.sampler.urls: is required"),
        ("{type: vllm-server, url: []}", "unknown key 'url'. Did you mean 'urls'?"),
        ("{type: vllm-server, urls: [here:8000]}", "like http://HOST:8000, not 'here:8000'"),
        ("{type: vllm-server, urls: [http://a:1, http://a:1/]}", "names one server twice"),
    ],
)
def test_a_wrong_option_of_a_sampler_is_named(block: str, said: str, tmp_path: Path):
    found = problems(tmp_path, CANONICAL, f"engine.sampler={block}")
    assert any(said in line for line in found), found


def test_a_correction_compares_with_recomputed_logprobs(tmp_path: Path):
    sets = ("stages.zero.correction={type: truncate}", "stages.zero.old_logprobs=sampler")
    (found,) = problems(tmp_path, CANONICAL, *sets)
    assert "it needs `old_logprobs: recompute`" in found


def test_seed_option_wins(tmp_path: Path):
    file = tmp_path / "recipe.yaml"
    file.write_text(CANONICAL)
    assert load_recipe(file, seed=5).seed == 5
    with pytest.raises(ConfigError, match=r"^--seed -1 seed: should be greater"):
        load_recipe(file, seed=-1)


def test_when_model_applies_to_the_model_that_is_asked_for(tmp_path: Path):
    def rate(recipe: Recipe) -> float:
        zero = recipe.stages["zero"]
        assert isinstance(zero, RLConfig)
        return zero.optim.learning_rate

    tiny = load(tmp_path, WHOLE)
    other = load(tmp_path, WHOLE, "model=org/name")
    assert (rate(tiny), tiny.engine.token_budget, tiny.engine.precision) == (2e-4, 4096, "fp32")
    assert (rate(other), other.engine.token_budget, other.engine.precision) == (1e-4, 8192, "bf16")
    assert tiny.model_defaults == [
        ("stages.zero.optim.learning_rate", 2e-4),
        ("engine.token_budget", 4096),
    ]
    assert rate(load(tmp_path, WHOLE, "stages.zero.optim.learning_rate=3e-4")) == 3e-4
    assert "when_model" not in tiny.to_yaml()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  other: {", "  othr: {", r"when_model.othr: unknown key. Did you mean 'other'"),
        ("stages.zero.optim.lea", "stages.zoro.optim.lea", r"no stage 'zoro'. Did you mean 'zero'"),
        ("rate: 2e-4", "rate: -1", r"stages.zero.optim.learning_rate: should be greater than 0"),
    ],
)
def test_wrong_when_model_is_named(old: str, new: str, said: str, tmp_path: Path):
    text = WHOLE.replace(old, new, 1)
    (found,) = problems(tmp_path, text)
    assert re.search(said, found)
    assert found.startswith(f"recipe.yaml:{line_of(text, new)} ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs: 2", "epochs: 2\n    steps: 3", "exactly one of `steps` and `epochs`, not both"),
        ("    epochs: 2\n", "", "exactly one of `steps` and `epochs`, not neither"),
        ("{from: rejection, limit: 40}", "{limit: 4}", "exactly one of `from`, `file` and `env`"),
        ("{from: rejection, limit: 40}", "{from: rejection, count: 4}", "`count` goes with `env`"),
        ("{from: rejection, limit: 40}", "{form: rejection}", "Did you mean 'from'"),
        ("{from: rejection, limit: 40}", "{from: rejektion}", "Did you mean 'rejection'"),
        ("{from: rejection, limit: 40}", "{from: zero}", "'zero' makes no data"),
        ("{from: rejection, limit: 40}", "{file: a.jsonl}", "no file at "),
        ("{from: rejection, limit: 40}", "{file: a.csv}", "should be a .jsonl or .parquet file"),
        ("count: 10", "limit: 10", "`env` needs `count`"),
        ("samples: 4\n    req", "samples: 4\n    keep_per_prompt: 5\n    req", "at most `samples`"),
        ("samples: 4\n    req", "samples: 4\n    min_examples: 51\n    req", "cannot be reached"),
        ("format: 1.0}", "langage_consistency: 1.0}", "Did you mean 'language_consistency'"),
        ("teacher: sft", "teacher: stf", "Did you mean 'sft'"),
        ("student: tiny-student", "", "the recipe has no `student`"),
        ("questions: 20", "questons: 20", "Did you mean 'questions'"),
        ("[math/Arithmetic-v1, {", "[{env: math/Arithmetic-v1, split: train}, {", "trains on"),
        ("betas: [0.9, 0.95]", "betas: [0.9, 1.5]", "betas.1: should be less than 1, not 1.5"),
    ],
)
def test_wrong_stages_are_named(old: str, new: str, said: str, tmp_path: Path):
    text = WHOLE.replace(old, new, 1)
    assert text != WHOLE
    assert said in "\n".join(problems(tmp_path, text))


def test_evaluating_data_that_an_sft_stage_trains_on_is_refused(tmp_path: Path):
    text = WHOLE.replace(
        "- {env: math/Arithmetic-v1, count: 10}",
        "- {env: logic/Ordering-v1, split: test, count: 10}",
    )
    assert "is what stage 'sft' trains on" in problems(tmp_path, text)[0]


def test_a_reward_only_the_environment_knows_is_left_to_the_run(tmp_path: Path):
    for name in ("style_of_prose", "env.fromat"):
        recipe = load(tmp_path, CANONICAL.replace("format: 0.1", f"{name}: 0.1"))
        assert recipe.mixtures["reasoning"].sources[0].rewards[name] == 0.1


def test_paths_are_the_recipes_and_overrides_are_the_shells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, shell = tmp_path / "recipes", tmp_path / "shell"
    for place in (folder, shell):
        (place / "model").mkdir(parents=True)
        (place / "model" / "config.json").write_text("{}")
        (place / "a.jinja").write_text("{{ messages }}")
    (folder / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    monkeypatch.chdir(shell)
    text = WHOLE.replace("model: tiny", "model: ./model", 1).replace(
        "prompt: r1_zero", "prompt: a.jinja"
    )
    text = text.replace("{from: rejection, limit: 40}", "{file: rows.jsonl}")
    recipe = load(folder, text)
    sft = recipe.stages["sft"]
    assert isinstance(sft, SFTConfig)
    assert recipe.model == str(folder / "model")
    assert recipe.stages["zero"].prompt == str(folder / "a.jinja")
    assert sft.data[0].file == str(folder / "rows.jsonl")
    assert load(folder, text, "model=model").model == str(shell / "model")
    assert load(tmp_path, recipe.to_yaml()).as_dict() == {**recipe.as_dict(), "name": "recipe"}


def test_a_folder_without_config_json_is_no_model(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    text = CANONICAL.replace("model: tiny", f"model: {tmp_path / 'empty'}", 1)
    assert "is not a model folder: it has no config.json" in problems(tmp_path, text)[0]
