"""An exported folder is the stage's model, prompted as the stage prompted it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.recipe.made_run import make_run
from transformers import AutoModelForCausalLM, AutoTokenizer

from palestra.cli.main import run as palestra
from palestra.errors import ConfigError, NotFound
from palestra.recipe.export import export_stage
from palestra.recipe.finished import find_stage
from palestra.rollout.prompting import Prompter
from palestra.tiny.paths import base_dir

CONVERSATION: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 2 + 3?\n"},
    {"role": "assistant", "content": "<think>\n5</think><answer>5</answer>"},
    {"role": "user", "content": "And {{ 7 }} more?"},
]


@pytest.mark.parametrize("prompt", ["chat", "r1_zero", "raw"])
@pytest.mark.parametrize("prefill", ["", "<think>\n", 'say "\\n" 你好 😀 {{ x }}'])
def test_the_chat_template_prompts_as_the_stage_did(
    tmp_path: Path, prompt: str, prefill: str
) -> None:
    run = make_run(tmp_path / "run", prompt=prompt, prefill=prefill)
    export_stage(find_stage(str(run)), tmp_path / "out")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    rendered = tokenizer.apply_chat_template(
        CONVERSATION, add_generation_prompt=True, tokenize=False
    )
    own = Prompter(AutoTokenizer.from_pretrained(base_dir()), prompt, prefill)
    assert rendered == own.text(CONVERSATION)
    assert rendered.endswith(prefill)


def test_a_jinja_file_becomes_the_chat_template(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}=>")
    run = make_run(tmp_path / "run", prompt=str(file), prefill="<think>")
    export_stage(find_stage(str(run)), tmp_path / "out")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    messages = [{"role": "user", "content": "2?"}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert text == "[user] 2? =><think>"


def test_a_template_that_transformers_would_read_differently_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{% for m in messages %}\n{{ m.content }}{% endfor %}")  # trim_blocks eats \n
    run = make_run(tmp_path / "run", prompt=str(file))
    with pytest.raises(ConfigError, match=r"cannot be written as a chat template"):
        export_stage(find_stage(str(run)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_exported_model_computes_the_same_logits(tmp_path: Path) -> None:
    stage = find_stage(str(make_run(tmp_path / "run")))
    out = export_stage(stage, tmp_path / "out")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        theirs = [AutoModelForCausalLM.from_pretrained(f)(ids).logits for f in (stage.weights, out)]
    assert torch.equal(*theirs)


def test_generation_stops_at_the_stage_s_stop_tokens(tmp_path: Path) -> None:
    out = export_stage(find_stage(str(make_run(tmp_path / "run"))), tmp_path / "out")
    generation = json.loads((out / "generation_config.json").read_text())
    tokenizer: Any = AutoTokenizer.from_pretrained(out)
    assert generation["eos_token_id"] == [tokenizer.eos_token_id]
    assert generation["do_sample"] is True
    assert generation["top_k"] == 0  # transformers' own default would cut the distribution at 50


def test_the_card_has_stages_data_evaluation_and_lineage(tmp_path: Path) -> None:
    out = export_stage(find_stage(str(make_run(tmp_path / "run"))), tmp_path / "out")
    card = (out / "README.md").read_text()
    assert "`base model` > `zero` > `r1`" in card
    assert "| r1 | rl | zero | 2 | 3 | mixture all |" in card
    assert "| math/Arithmetic-v1 | train | any | 1 | accuracy 1 |" in card
    assert "50.0 \\[40.0, 60.0\\]" in card
    assert "<b>" not in card


def test_without_a_stage_the_run_s_result_is_exported(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert find_stage(str(run)).name == "r1"
    assert find_stage(f"{run}:zero").name == "zero"
    assert find_stage(str(run), "zero").name == "zero"


def test_a_stage_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no stage 'zer' in .* Did you mean 'zero'"):
        find_stage(str(make_run(tmp_path / "run")), "zer")


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", finished={"zero": True, "r1": False})
    with pytest.raises(ConfigError, match=r"unfinished run.*name a finished stage: zero"):
        find_stage(str(run))
    with pytest.raises(ConfigError, match=r"stage 'r1' of .* is not finished.*--resume"):
        find_stage(str(run), "r1")
    assert find_stage(str(run), "zero").name == "zero"


def test_a_folder_that_is_there_is_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, to = make_run(tmp_path / "run"), tmp_path / "out"
    to.mkdir()
    assert palestra(["export", str(run), "--to", str(to)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert not list(to.iterdir())


def test_a_folder_without_a_run_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert palestra(["export", str(tmp_path), "--to", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} holds no run: it has no manifest.json\n"
