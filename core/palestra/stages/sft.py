"""Supervised fine-tuning: cross entropy over completions, on the same learner as RL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch

from palestra.errors import ConfigError
from palestra.learner.learner import Learner, LearnerConfig, supervised_loss
from palestra.learner.logprobs import Policy
from palestra.learner.packed import keeps_apart
from palestra.learner.packing import pack_examples
from palestra.rollout.prompting import stop_token_ids
from palestra.seeding import derive_seed, rng
from palestra.stages.base import StageContext, StageResult, TrainingLoop
from palestra.stages.clock import StepClock
from palestra.stages.config import SFTConfig
from palestra.stages.evaluate import evaluate_policy
from palestra.stages.examples import Example, load_examples
from palestra.stages.flops import ModelShape, trained
from palestra.stages.policy import LoadedPolicy, load_trainee, make_sampler

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class SFTStage:
    """Trains on examples; a step is one update on `batch_size` of them."""

    def __init__(self, context: StageContext) -> None:
        config = cast("SFTConfig", context.config)
        self.context, self.config, self.seed = context, config, context.recipe.seed
        self.policy = load_trainee(context)
        self.require_apart(self.policy.model)
        examples = load_examples(
            config.data, context.data, context.registry, self.seed, f"stages.{context.name}"
        )
        self.examples = tokenize(self.policy, examples)
        self.steps = config.steps or math.ceil(
            (config.epochs or 1) * len(self.examples) / config.batch_size
        )
        self.clock = StepClock()
        self.shape = ModelShape.of(self.policy.model)
        self.learner = Learner(
            self.policy.model,
            context.accelerator,
            LearnerConfig(
                optim=config.optim,
                total_updates=self.steps,
                token_budget=context.recipe.engine.token_budget,
                packing=config.packing,
            ),
            pad=self.policy.pad,
            rescue=context.folder / "nan-batch.pt",
            wrap=self.wrap,
        )

    def require_apart(self, model: PreTrainedModel) -> None:
        """Refuse a model that is to be given packed rows, and reads one as a single sequence."""
        if self.config.packing and not keeps_apart(model):
            kind = model.config.model_type
            raise ConfigError(
                f"stages.{self.context.name}.packing: a model of type {kind} reads a row as one "
                "sequence, whatever the positions. Take the line out"
            )

    def wrap(self, model: PreTrainedModel) -> Policy:
        """Return the module that scores completion tokens, by their log-probs."""
        return Policy(model)

    def run(self) -> StageResult:
        """Run all steps, or those that a killed run left."""
        loop = TrainingLoop(self.context, self.learner, self.policy, {}, self._evaluate)
        result = loop.run(self.steps, self.step)
        return replace(result, facts={**result.facts, "examples": len(self.examples)})

    def step(self, number: int) -> dict[str, Any]:
        """One update; which examples it sees is a function of the seed and the step."""
        torch.manual_seed(derive_seed(self.seed, "step", self.context.name, number))
        batch = pack_examples([self.examples[i] for i in self._rows(number)])
        self.clock.take()
        with self.clock("backward"):
            metrics: dict[str, Any] = self.learner.update(batch, supervised_loss)
        flops = 3 * self.shape.forward(trained(batch))
        return {**metrics, "flops/train": flops, **self.clock.take()}

    def _rows(self, number: int) -> list[int]:
        """Return the examples of a step: each epoch is a permutation of its own."""
        size, count = self.config.batch_size, len(self.examples)
        rows: list[int] = []
        order: list[int] = []
        for place in range((number - 1) * size, number * size):
            epoch, at = divmod(place, count)
            if not rows or at == 0:
                chooser = rng(self.seed, "epoch", self.context.name, epoch)
                order = chooser.permutation(count).tolist()
            rows.append(order[at])
        return rows

    def _evaluate(self) -> dict[str, Any]:
        sampler = make_sampler(self.context, self.policy.model)
        try:
            sampler.update_weights(self.learner.named_tensors(), version=self.learner.updates)
            return evaluate_policy(self.context, self.policy, sampler)
        finally:
            sampler.close()


def tokenize(
    policy: LoadedPolicy, examples: Sequence[Example]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return (prompt ids, completion ids) pairs; a completion ends with the stop token.

    A completion that begins with the prefill has it cut off: the prompt already ends with it.
    """
    prompter, tokenizer = policy.prompter, policy.tokenizer
    end = stop_token_ids(tokenizer)[0]
    out: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for example in examples:
        text = example.completion.removeprefix(prompter.prefill)
        completion = tokenizer.encode(text, add_special_tokens=False)
        out.append((prompter.open(example.messages), (*completion, end)))
    return out
