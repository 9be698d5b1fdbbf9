"""Training a reward model: the policy's architecture with a scalar head, on preferences."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from palestra.errors import ConfigError, DataError
from palestra.evaluation.metrics import Measure, mean_share
from palestra.learner.scalar import Item, ScalarLearner, right
from palestra.rollout.prompting import Prompter
from palestra.rollout.reading import Reader
from palestra.seeding import derive_seed, rng
from palestra.stages.base import StageContext, StageResult, TrainingLoop
from palestra.stages.clock import StepClock
from palestra.stages.config import RewardModelConfig
from palestra.stages.policy import LoadedPolicy
from palestra.stages.preferences import Preference, load_preferences, split_by_prompt


class RewardModelStage:
    """Trains on preferences; a step is one update on `batch_size` of them (DeepSeek-R1, 3.1)."""

    def __init__(self, context: StageContext) -> None:
        config = cast("RewardModelConfig", context.config)
        self.context, self.config, self.seed = context, config, context.recipe.seed
        self.policy = load_scalar(context)
        self.reader = Reader(self.policy.tokenizer, config.prompt, config.sees)
        self.reader.note(self.policy.model.config)
        preferences = load_preferences(
            config.data, config.objective == "pairwise", self.seed, f"stages.{context.name}"
        )
        kept, self.items = self._tokenized(preferences)
        self.keys = [preference.prompt_key for preference in kept]
        self.trained, self.held_out = split_by_prompt(
            kept, config.held_out, self.seed, context.name
        )
        if not self.trained:
            raise DataError(
                f"stages.{context.name}: nothing is left to train on: {len(kept)} preferences, "
                f"{len(self.held_out)} held out. Lower `held_out`, or give more prompts"
            )
        self.steps = config.steps or math.ceil(
            (config.epochs or 1) * len(self.trained) / config.batch_size
        )
        self.clock = StepClock()
        self.learner = ScalarLearner(
            self.policy.model,
            context.accelerator,
            config.optim,
            total_updates=self.steps,
            token_budget=context.recipe.engine.token_budget,
            pad=self.policy.pad,
            pairwise=config.objective == "pairwise",
        )

    def run(self) -> StageResult:
        """Run all steps, or those that a killed run left."""
        loop = TrainingLoop(self.context, self.learner, self.policy, {}, lambda: {})
        result = loop.run(self.steps, self.step)
        facts: dict[str, Any] = {
            "preferences": len(self.trained),
            "held_out": len(self.held_out),
            "left_out": self.left_out,
        }
        if self.held_out:
            measured = self._measure()
            facts["held_out_accuracy"] = measured.as_dict()
            facts["notes"] = [_sentence(measured, len(self.held_out))]
        return StageResult(weights=result.weights, steps=result.steps, facts=facts)

    def step(self, number: int) -> dict[str, Any]:
        """One update; which preferences it sees is a function of the seed and the step."""
        torch.manual_seed(derive_seed(self.seed, "step", self.context.name, number))
        self.clock.take()
        with self.clock("backward"):
            metrics: dict[str, Any] = self.learner.update(
                [self.items[self.trained[i]] for i in self._rows(number)]
            )
        every = self.config.held_out_every
        if self.held_out and (number == self.steps or (every and number % every == 0)):
            metrics["held_out_accuracy"] = self._measure().value
        return {**metrics, **self.clock.take()}

    def _rows(self, number: int) -> list[int]:
        """Return the preferences of a step: each epoch is a permutation of its own."""
        size, count = self.config.batch_size, len(self.trained)
        orders: dict[int, list[int]] = {}
        rows: list[int] = []
        for place in range((number - 1) * size, number * size):
            epoch, at = divmod(place, count)
            if epoch not in orders:
                chooser = rng(self.seed, "epoch", self.context.name, epoch)
                orders[epoch] = chooser.permutation(count).tolist()
            rows.append(orders[epoch][at])
        return rows

    def _tokenized(self, preferences: Sequence[Preference]) -> tuple[list[Preference], list[Item]]:
        """Return the preferences that are short enough, and their tokens."""
        kept: list[Preference] = []
        items: list[Item] = []
        for preference in preferences:
            texts = [self.reader.ids(preference.messages, c) for c in preference.completions]
            if max(map(len, texts)) <= self.config.max_length:
                kept.append(preference)
                items.append((texts, preference.label))
        self.left_out = len(preferences) - len(kept)
        if self.left_out:
            self.context.progress.note(
                f"{self.context.name}: {self.left_out} of {len(preferences)} preferences are "
                f"longer than max_length, {self.config.max_length} tokens, and left out"
            )
        return kept, items

    def _measure(self) -> Measure:
        """Return the share of the held-out preferences that are scored as labelled, by prompt."""
        scores, labels = self.learner.scores([self.items[i] for i in self.held_out])
        by_prompt: dict[str, list[float]] = {}
        for i, value in zip(self.held_out, right(scores, labels).tolist(), strict=True):
            by_prompt.setdefault(self.keys[i], []).append(value)
        return mean_share("held_out", [math.fsum(v) / len(v) for v in by_prompt.values()])


def _sentence(measured: Measure, count: int) -> str:
    low, high = measured.ci95
    return (
        f"Of {count} held-out preferences {100 * measured.value:.1f}% are scored as labelled "
        f"(95% interval {100 * low:.1f} to {100 * high:.1f}, over prompts)."
    )


def load_scalar(context: StageContext) -> LoadedPolicy:
    """Load the weights that the stage begins with under a head for one number.

    The head of a policy is new, drawn from the run's seed; a reward model keeps its own.

    Raises:
        ConfigError: no such model, one of an architecture without such a head, or one whose head
            has several labels.
    """
    source = context.weights
    torch.manual_seed(derive_seed(context.recipe.seed, "head", context.name))
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        with _no_report():  # of a head that is missing: it is to be new
            model: Any = AutoModelForSequenceClassification.from_pretrained(
                source, num_labels=1, dtype=torch.float32
            )
    except Exception as exc:  # a damaged folder can fail in any of three libraries
        why = " ".join(str(exc).strip().partition("\n\n")[0].split())
        raise ConfigError(
            f"cannot make a reward model of {source}: {why}. It needs an architecture of which "
            "transformers knows a ForSequenceClassification, and a head of one label if it has one"
        ) from exc
    prompter = Prompter(tokenizer, context.config.prompt)
    policy = LoadedPolicy(
        model=model.to(context.accelerator.device), tokenizer=tokenizer, prompter=prompter
    )
    model.config.pad_token_id = policy.pad
    return policy


@contextmanager
def _no_report() -> Generator[None]:
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
