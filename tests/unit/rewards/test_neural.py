"""`neural`: what it reads, that batching changes nothing, and every model that it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from palestra.errors import ConfigError
from palestra.plugins.registry import Kind, get_registry
from palestra.rewards.base import Scored
from palestra.rewards.seen import seen
from palestra.rollout.reading import Reader
from palestra.tiny.paths import student_dir

PROMPT = [{"role": "user", "content": "1+1?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("rm") / "model")


def saved(place: Path, labels: int = 1, reads: tuple[str, str] | None = ("chat", "answer")) -> Path:
    """A reward model with random weights in its head."""
    logging.set_verbosity_error()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(student_dir())
    model = AutoModelForSequenceClassification.from_pretrained(student_dir(), num_labels=labels)
    torch.nn.init.normal_(model.score.weight)
    if reads is not None:
        Reader(tokenizer, *reads).note(model.config)
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def neural(place: Path | str, **options):
    registry = get_registry()
    config = registry.config(Kind.REWARD_MODEL, "neural")
    made = config.model_validate({"from": str(place), **options})
    return registry.load(Kind.REWARD_MODEL, "neural")(made)


def item(completion: str) -> Scored:
    return Scored(messages=PROMPT, completion=completion, language=None, env_id="e", task_id="t")


COMPLETIONS = ["<think>one and one</think><answer>2</answer>", "2", "3 " * 40, "<think>hm", ""]


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("<think>a</think> b ", "b"),
        ("<think>a</think>b</think>c", "c"),
        ("<think>never ended", ""),
        ("no thoughts", "no thoughts"),
        ("</think>b", "b"),
    ],
)
def test_the_answer_is_what_stands_behind_the_thoughts(completion: str, answer: str):
    assert seen(completion, "answer") == answer
    assert seen(completion, "completion") == completion


def test_a_score_does_not_depend_on_its_batch(folder: Path):
    model = neural(folder, device="cpu")
    together = [s.value for s in model.score([item(c) for c in COMPLETIONS])]
    alone = [model.score([item(c)])[0].value for c in COMPLETIONS]
    narrow = neural(folder, device="cpu", token_budget=1)
    cut = [s.value for s in narrow.score([item(c) for c in COMPLETIONS])]
    assert together == pytest.approx(alone, abs=1e-5)
    assert together == pytest.approx(cut, abs=1e-5)
    assert len({round(v, 4) for v in together}) == 4  # "<think>hm" shows no answer, as "" does
    assert model.score([]) == []


def test_it_is_the_models_own_number(folder: Path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    text = tokenizer.apply_chat_template(PROMPT, tokenize=False, add_generation_prompt=True)
    ids = [*tokenizer.encode(text + "2", add_special_tokens=False), tokenizer.eos_token_id]
    with torch.no_grad():
        expected = float(model(input_ids=torch.tensor([ids])).logits[0, 0])
    assert neural(folder, device="cpu").score([item("2")])[0].value == pytest.approx(expected)


def test_it_reads_as_it_was_trained_unless_told_otherwise(folder: Path):
    long, short = "<think>aaa</think>2", "<think>b</think>2"

    def values(**options) -> list[float]:
        return [
            s.value
            for s in neural(folder, device="cpu", **options).score([item(long), item(short)])
        ]

    same = values()
    assert same[0] == pytest.approx(same[1], abs=1e-6)
    apart = values(sees="completion")
    assert abs(apart[0] - apart[1]) > 1e-4
    assert values(prompt="conversation")[0] != pytest.approx(values(prompt="raw")[0], abs=1e-4)


def test_lower_precision_is_its_own(folder: Path):
    full, half = (
        neural(folder, device="cpu", precision=p).score([item("2")]) for p in ("fp32", "bf16")
    )
    assert half[0].value == pytest.approx(full[0].value, rel=0.1)
    assert half[0].value != full[0].value


def test_what_it_cannot_read_whole_has_no_verdict(folder: Path):
    long, short = neural(folder, device="cpu").score([item("9" * 600), item("9")])
    assert not long.status.is_valid
    assert "and the reward model reads at most 512" in long.reason
    assert short.status.is_valid


def test_a_score_that_is_no_number_is_no_verdict(tmp_path: Path):
    place = saved(tmp_path / "m")
    model = AutoModelForSequenceClassification.from_pretrained(place)
    torch.nn.init.constant_(model.score.weight, math.nan)
    model.save_pretrained(place)
    (score,) = neural(place, device="cpu").score([item("2")])
    assert not score.status.is_valid
    assert "score is nan" in score.reason


def test_several_labels_are_one_clear_line(tmp_path: Path):
    with pytest.raises(
        ConfigError, match="gives 3 numbers for a text, and a reward is one"
    ) as said:
        neural(saved(tmp_path / "m", labels=3))
    assert "\n" not in str(said.value)


def test_a_policy_is_no_reward_model():
    with pytest.raises(ConfigError, match="is no reward model: it holds LlamaForCausalLM"):
        neural(student_dir())


def test_a_head_that_is_missing_is_not_made_up(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    place = saved(tmp_path / "m")
    weights = load_file(place / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"is not whole: it has no score\.weight"):
        neural(place, device="cpu").score([item("2")])


def test_a_folder_that_holds_nothing_is_named(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=f"no reward model {tmp_path}") as said:
        neural(tmp_path)
    assert "\n" not in str(said.value)


def test_a_template_that_drops_thoughts_is_refused(tmp_path: Path):
    tokenizer = AutoTokenizer.from_pretrained(student_dir())
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'].split('</think>')[-1] }}{% endfor %}"
    )
    said = "<think>a</think>b"
    assert Reader(tokenizer, "conversation", "answer").ids(PROMPT, said)
    with pytest.raises(ConfigError, match="drops a part of the completion"):
        Reader(tokenizer, "conversation", "completion").ids(PROMPT, said)
