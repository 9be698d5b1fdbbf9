"""Logit distillation against the formula in float64, and supervised loss on completions alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tests.unit.learner.test_learner import VOCAB, make_batch, tiny_llama
from torch import Tensor

from palestra.cli import main as cli
from palestra.errors import ConfigError
from palestra.learner.config import OptimConfig
from palestra.learner.distillation import DistilledPolicy, forward_kl, shared_vocabulary
from palestra.learner.learner import Learner, LearnerConfig, supervised_loss
from palestra.learner.logprobs import Policy, padded
from palestra.optimizers.base import Outputs
from palestra.recipe.config import load_recipe
from palestra.recipe.graph import ancestors, stage_hash, validate_graph

CPU = torch.device("cpu")


def by_hand(student: list[list[float]], teacher: list[list[float]], t: float) -> list[float]:
    """T^2 sum_v p (log p - log q), in Python's floats."""

    def softmax(logits: list[float]) -> list[float]:
        parts = [math.exp(x / t) for x in logits]
        return [part / math.fsum(parts) for part in parts]

    out: list[float] = []
    for own, other in zip(student, teacher, strict=True):
        pairs = zip(softmax(other), softmax(own), strict=True)
        out.append(t * t * math.fsum(p * (math.log(p) - math.log(q)) for p, q in pairs))
    return out


STUDENT = [[0.0, 1.0, -2.0], [3.0, 0.5, 0.5], [1.0, 1.0, 1.0]]
TEACHER = [[1.0, 0.0, 0.5], [3.0, 0.5, 0.5], [-4.0, 2.0, 0.0]]


@pytest.mark.parametrize("temperature", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_the_loss_of_a_token_is_the_formula_s(temperature: float, chunk: int) -> None:
    same = torch.nn.Identity()
    student, teacher = (torch.tensor(x, dtype=torch.float64) for x in (STUDENT, TEACHER))
    found = forward_kl(student, teacher, same, same, temperature=temperature, chunk=chunk)
    expected = torch.tensor(by_hand(STUDENT, TEACHER, temperature), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert found[1] == pytest.approx(0.0, abs=1e-15)


def test_a_golden_value() -> None:
    same = torch.nn.Identity()
    teacher = torch.tensor([[math.log(0.75), math.log(0.25)]], dtype=torch.float64)
    student = torch.zeros(1, 2, dtype=torch.float64)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)  # 0.1308120...
    assert forward_kl(student, teacher, same, same).item() == pytest.approx(expected, abs=1e-15)


def test_a_token_that_the_teacher_rules_out_costs_nothing_and_gives_no_nan() -> None:
    same = torch.nn.Identity()
    teacher = torch.tensor([[0.0, -math.inf, 0.0]], dtype=torch.float64)
    student = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    loss = forward_kl(student, teacher, same, same)
    loss.sum().backward()
    assert loss.item() == pytest.approx(math.log(3 / 2))
    assert student.grad is not None
    torch.testing.assert_close(student.grad[0], torch.tensor([-1, 2, -1]).double() / 6)


def test_no_more_tokens_than_a_chunk_have_logits_at_once_forward_and_back() -> None:
    torch.manual_seed(0)
    weight = torch.randn(50, 8, dtype=torch.float64, requires_grad=True)
    other = torch.randn(50, 6, dtype=torch.float64)
    seen: list[int] = []

    def head(states: Tensor) -> Tensor:
        seen.append(len(states))
        return states @ weight.T

    student = torch.randn(23, 8, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(23, 6, dtype=torch.float64)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (kept.append(t.numel()), t)[1], lambda t: t
    ):
        loss = forward_kl(student, teacher, head, lambda t: t @ other.T, chunk=5).sum()
    assert max(kept) < 23 * 50  # what waits for the backward pass
    loss.backward()
    assert max(seen) == 5
    assert len(seen) == 2 * 5  # each chunk once forward, once more for the gradient
    chunked = weight.grad
    weight.grad = None
    log_p = (teacher @ other.T).log_softmax(-1)
    dense = (log_p.exp() * (log_p - (student @ weight.T).log_softmax(-1))).sum()
    dense.backward()
    assert loss.item() == pytest.approx(dense.item(), rel=1e-12)
    torch.testing.assert_close(chunked, weight.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_student_s_gradient_is_that_of_the_dense_formula(scaled: bool) -> None:
    teacher = tiny_llama(1, hidden_size=48).double()
    student = tiny_llama(0).double()
    if scaled:  # logits that are more than hidden @ head go through the model's own
        student.lm_head = torch.nn.Linear(32, VOCAB, bias=True).double()
    batch = make_batch()
    policy = DistilledPolicy(student, teacher, 2.0, VOCAB - 4)
    outputs, _ = policy(*padded(batch, 0, CPU), 1.0, False)
    loss = supervised_loss(Outputs(logprobs=outputs), batch).value
    loss.backward()
    found = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    student.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for ids, mask in zip(batch.token_ids, batch.loss_mask, strict=True):
        row = torch.tensor(ids)[None]
        places = torch.tensor(mask).nonzero()[:, 0] - 1
        with torch.no_grad():
            p = (teacher(input_ids=row).logits[0, places, : VOCAB - 4] / 2).log_softmax(-1)
        q = (student(input_ids=row).logits[0, places, : VOCAB - 4] / 2).log_softmax(-1)
        total = total + 4 * (p.exp() * (p - q)).sum()
    dense = total / batch.total.tokens
    dense.backward()
    assert loss.item() == pytest.approx(dense.item(), rel=1e-9)
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-7, atol=1e-10)


def learner(student: Any, budget: int = 60, wrap: Any = Policy) -> Learner:
    config = LearnerConfig(
        optim=OptimConfig(learning_rate=1e-2, max_grad_norm=1e9),
        total_updates=40,
        token_budget=budget,
    )
    return Learner(student, Accelerator(cpu=True), config, pad=0, wrap=wrap)


def test_the_teacher_is_no_part_of_the_student_and_the_student_comes_near() -> None:
    teacher, student = tiny_llama(1), tiny_llama(0)
    before = [p.clone() for p in teacher.parameters()]
    made = learner(student, wrap=lambda m: DistilledPolicy(m, teacher, 1.0, VOCAB))
    names = {name for name, _ in made.named_tensors()}
    assert names == set(tiny_llama(0).state_dict())
    batch = make_batch()
    losses = [made.update(batch, supervised_loss)["loss"] for _ in range(40)]
    assert losses[-1] < 0.2 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))


# -- supervised training on text ------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 37, 10_000])
def test_supervised_gradient_is_of_completion_tokens_alone_however_it_is_packed(
    budget: int,
) -> None:
    student, batch = tiny_llama(0).double(), make_batch()
    made = learner(student, budget)
    seen: dict[str, Tensor] = {}

    def stop(*args: Any, **kwargs: Any) -> None:
        seen.update({n: p.grad.clone() for n, p in student.named_parameters()})

    made._optimizer.step = stop  # type: ignore[method-assign]
    loss = made.update(batch, supervised_loss)["loss"]
    total = torch.zeros((), dtype=torch.float64)
    for ids, mask in zip(batch.token_ids, batch.loss_mask, strict=True):
        row = torch.tensor(ids)
        every = student(input_ids=row[None]).logits[0, :-1].log_softmax(-1)
        chosen = every.gather(-1, row[1:, None])[:, 0]
        total = total - chosen[torch.tensor(mask)[1:]].sum()  # the prompt's tokens are left out
    dense = total / sum(int(mask.sum()) for mask in batch.loss_mask)
    student.zero_grad()
    dense.backward()
    assert loss == pytest.approx(dense.item(), rel=1e-6)
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(seen[name], parameter.grad, rtol=1e-5, atol=1e-8)


# -- the stage ------------------------------------------------------------------------------------


class Words:
    def __init__(self, *words: str) -> None:
        self.words = words

    def get_vocab(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}


def test_another_tokenizer_is_one_line_that_shows_a_token() -> None:
    assert shared_vocabulary(Words("a", "b"), Words("a", "b"), ("student", "big")) == 2
    with pytest.raises(ConfigError) as error:
        shared_vocabulary(Words("a", "b", "c"), Words("b", "a"), ("student", "big"))
    (line,) = str(error.value).splitlines()
    assert line.startswith(
        "logits of teacher 'big' mean nothing to 'student': their tokenizers differ in 3 tokens, "
        "as 'a' (0 against 1)"
    )


RECIPE = """\
model: tiny
student: tiny-student
engine: {{threads: 1}}
stages:
  student:
    type: distill
    init_from: {origin}
    teacher: {teacher}
    logits: {{temperature: 2.0}}
    data: [{{env: math/Arithmetic-v1, difficulty: 1, count: 16}}]
    steps: 12
    batch_size: 8
    optim: {{learning_rate: 3.0e-3}}
"""


def recipe(folder: Path, teacher: str = "base", name: str = "taught") -> Path:
    file = folder / "own.yaml"
    text = RECIPE.format(origin="student", teacher=teacher)
    file.write_text(text.replace("  student:\n    type", f"  {name}:\n    type"))
    return file


def test_the_teacher_is_an_input_of_the_stage_where_its_logits_are(tmp_path: Path) -> None:
    loaded = load_recipe(recipe(tmp_path))
    validate_graph(loaded)
    assert loaded.stages["taught"].inputs == ("student", "base")
    assert ancestors(loaded, "taught") == set()
    without = (tmp_path / "own.yaml").read_text().replace("    logits: {temperature: 2.0}\n", "")
    (tmp_path / "own.yaml").write_text(without)
    plain = load_recipe(tmp_path / "own.yaml")
    assert plain.stages["taught"].inputs == ("student",)
    assert stage_hash(plain, "taught") != stage_hash(loaded, "taught")


@pytest.mark.parametrize(
    ("teacher", "line"),
    [("bas", "no stage 'bas'. Did you mean 'base'"), ("taught", "does not come before this stage")],
)
def test_a_teacher_that_is_not_there_is_one_line(tmp_path: Path, teacher: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        validate_graph(load_recipe(recipe(tmp_path, teacher)))
    assert line in str(error.value)


@pytest.mark.slow
def test_a_run_distils_logits_and_refuses_another_tokenizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert cli.run(["run", str(recipe(tmp_path)), "--output", str(run)]) == 0
    rows = (run / "stages" / "01-taught" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(row)["loss"] for row in rows]
    assert losses[-1] < losses[0]
    import shutil

    from palestra.tiny.paths import base_dir

    other = tmp_path / "other"
    shutil.copytree(base_dir(), other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.get)
    one = next(word for word in vocabulary if word.isalpha())
    vocabulary[last], vocabulary[one] = vocabulary[one], vocabulary[last]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    capsys.readouterr()
    arguments = ["run", str(recipe(tmp_path)), "--set", f"model={other}"]
    assert cli.run([*arguments, "--output", str(tmp_path / "second")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "logits of teacher 'base' mean nothing to 'student': their tokenizers differ in" in line
    assert "own.yaml:" in line
    assert not (tmp_path / "second").exists()  # found before anything began
