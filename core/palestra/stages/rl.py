"""Reinforcement learning: one step of it reads top to bottom in `RLStage.step`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch

from palestra.errors import ConfigError
from palestra.learner.correction import importance_weights
from palestra.learner.learner import Learner, LearnerConfig
from palestra.learner.mismatch import (
    LIMITS,
    Mismatch,
    Probe,
    Watch,
    likely_cause,
    require_same_policy,
)
from palestra.learner.packing import pack
from palestra.mixture.draw import make_mixture
from palestra.optimizers.base import PolicyOptimizer
from palestra.optimizers.batch import Batch
from palestra.plugins.registry import Kind
from palestra.rewards.models import RewardModels
from palestra.rollout.collect import Collected, collect
from palestra.rollout.collection import Collection
from palestra.rollout.record import rollout_metrics, write_rollout
from palestra.rollout.samplers.base import SamplingParams
from palestra.rollout.trajectory import Group
from palestra.seeding import derive_seed, rng
from palestra.stages.ahead import Ahead, Rollout
from palestra.stages.base import StageContext, StageResult, Stateful, TrainingLoop
from palestra.stages.clock import StepClock, TimedSampler
from palestra.stages.config import RLConfig, no_staleness
from palestra.stages.evaluate import evaluate_policy
from palestra.stages.flops import ModelShape, generated, trained
from palestra.stages.gather import gather_groups
from palestra.stages.policy import load_trainee, make_sampler
from palestra.stages.watch import HackingWatch


class RLStage:
    """Rolls out a mixture, pays rewards, and improves the policy, step by step."""

    def __init__(self, context: StageContext) -> None:
        config = cast("RLConfig", context.config)
        registry, name, seed = context.registry, context.name, context.recipe.seed
        self.context, self.config, self.seed = context, config, seed
        self.optimizer = _make_optimizer(context, config)
        described = context.recipe.mixtures[config.mixture]
        where = f"mixtures.{config.mixture}"
        models = context.reward_models
        self.mixture = make_mixture(described, registry, where, seed, name, models)
        self.policy = load_trainee(context)
        self.clock = StepClock()
        self.shape = ModelShape.of(self.policy.model)
        self.sampler = TimedSampler(make_sampler(context, self.policy.model), self.clock)
        _require_able(context, config, self.sampler)
        self.learner = Learner(
            self.policy.model,
            context.accelerator,
            LearnerConfig(
                optim=config.optim,
                total_updates=config.steps * config.mini_batches * config.epochs,
                token_budget=context.recipe.engine.token_budget,
                temperature=config.sampling.temperature,
                reference_every=config.reference_every,
                keep_reference="ref_logprobs" in self.optimizer.needs,
                entropy="entropy" in self.optimizer.needs,
                skip_zero_advantage=self.optimizer.zero_advantage_is_zero_loss,
                critic_learning_rate=self.optimizer.critic_learning_rate,
            ),
            pad=self.policy.pad,
            rescue=context.folder / "nan-batch.pt",
            critic=self.optimizer.critic(self.policy.model),
        )
        self.ahead = Ahead(
            self.mixture,
            self._collect,
            self.clock,
            steps=config.steps,
            staleness=config.staleness,
        )
        self.many_updates = config.mini_batches * config.epochs > 1
        self.watch: HackingWatch | None = None
        if config.watch is not None:
            models = models if models is not None else RewardModels(registry)
            self.watch = HackingWatch(config.watch, models, context.accelerator)

    def run(self) -> StageResult:
        """Run all steps, or those that a killed run left."""
        state: dict[str, Stateful] = {"mixture": self.ahead, "optimizer": self.optimizer}
        if self.watch is not None:
            state["watch"] = self.watch
        loop = TrainingLoop(
            self.context,
            self.learner,
            self.policy,
            state,
            self._evaluate,
            begin=self._send,
            ended=lambda: self.watch is not None and self.watch.must_stop,
        )
        try:
            result = loop.run(self.config.steps, self.step)
        finally:
            self.sampler.close()
            self.ahead.close()
        watched = self.watch.facts(result.steps) if self.watch is not None else {}
        facts = {**result.facts, "mixture": self.mixture.report(), **watched}
        return replace(result, facts=facts)

    def step(self, number: int) -> dict[str, Any]:
        """One rollout, and the updates that learn from it."""
        torch.manual_seed(derive_seed(self.seed, "step", self.context.name, number))
        clock = self.clock
        clock.take()  # what an evaluation took between two steps is none of theirs
        taken = self.ahead.take(number)
        kept, dropped = taken.collected.kept, taken.collected.dropped
        batch = pack(kept)
        probe = self._probe(batch, number)
        with clock("logprobs"):
            rollout = self._annotated(batch)
        mismatch = self._probed(probe, rollout, number)

        watch = Watch(self.optimizer.loss, rollout)
        updates: list[dict[str, float]] = []
        order = rng(self.seed, "mini_batches", self.context.name, number)
        for _ in range(self.config.epochs):
            for batch in rollout.mini_batches(self.config.mini_batches, order):
                loss = self.optimizer.loss if updates else watch
                with clock("backward"):
                    updates.append(self.learner.update(batch, loss))
        told = self._told(watch, mismatch, rollout, number)
        self.ahead.rest()
        with clock("sync"):
            self._send(number)
        with clock("grade"):
            watched = self._watched(number, kept)

        metrics = {
            **rollout_metrics(kept, dropped, self.mixture.labels),
            **taken.moved,
            **_mean(updates),
            **told,
            **watched,
            "updates": self.learner.updates,
            **self._work(taken.collected, rollout),
            **taken.seconds,
            **clock.take(),
        }
        self._record(number, metrics, kept + dropped, rollout)
        return metrics

    def _collect(self, version: int, clock: StepClock) -> Rollout:
        """Make the next rollout with the weights of `version`."""
        with clock("grade"):
            collected = collect(
                self.mixture,
                self.sampler,
                self.policy.prompter,
                self._how(version, clock),
                prompts=self.config.prompts_per_step,
                keep=self.optimizer.keep,
                max_refills=self.config.max_refills,
                oversample=self.config.oversample,
            )
            moved = self.mixture.observe(collected.outcomes())
            if not self.config.staleness:  # else the next rollout begins at once
                self.sampler.sleep()
        return Rollout(collected=collected, moved=moved)

    def _annotated(self, rollout: Batch) -> Batch:
        """Fill in what the loss wants: old and reference log-probs, advantages, weights."""
        rollout = self.learner.annotate(rollout, self._fields())
        if self.config.old_logprobs == "sampler":
            rollout = rollout.with_fields({"old_logprobs": rollout.sampler_logprobs_T})
        rollout = rollout.with_fields(self.optimizer.advantages(rollout))
        if self.config.correction is not None:
            weights = importance_weights(rollout, self.config.correction)
            rollout = rollout.with_fields({"importance_weights": weights})
        return rollout

    def _probe(self, rollout: Batch, number: int) -> Probe | None:
        """Ask for tokens of the weights that the step begins with, where the rollout has none."""
        if bool((rollout.version_T == number - 1).any()):
            return None
        return Probe(self.sampler.untimed, rollout, self.config.sampling.temperature)

    def _probed(self, probe: Probe | None, rollout: Batch, number: int) -> Mismatch | None:
        """Require of the tokens that were asked for that sampler and trainer are one policy."""
        if probe is None:
            return None
        with self.clock("wait"):
            probe.wait()
        with self.clock("logprobs"):
            mismatch = probe.result(self.learner.model)
        self._require_same_policy(mismatch, rollout, number)
        return mismatch

    def _told(
        self, watch: Watch, mismatch: Mismatch | None, rollout: Batch, number: int
    ) -> dict[str, float]:
        """Return what the log-probs of the rollout tell: of the sampler, or of the staleness."""
        seen = watch.result(self.context.accelerator)
        if mismatch is None:
            self._require_same_policy(seen, rollout, number)
        if not self.config.staleness:
            return seen.metrics()
        lag_T = number - 1 - rollout.version_T
        drift = {"drift": seen.sampler_gap, "drift_kl": seen.sampler_kl}
        return {**(mismatch or seen).metrics(), **drift, "lag": float(lag_T.double().mean())}

    def _watched(self, number: int, groups: list[Group]) -> dict[str, float]:
        """Return what the watch measures, and say it where the reward has just been hacked."""
        if self.watch is None:
            return {}
        metrics = self.watch.measure(number, groups)
        if self.watch.diverged == number:
            (said,) = self.watch.facts(number)["notes"]
            self.context.progress.note(f"{self.context.name}: {said}")
        return metrics

    def _work(self, collected: Collected, rollout: Batch) -> dict[str, float]:
        """Return the step's sampled tokens, and the operations that it asks for."""
        groups = [*collected.kept, *collected.dropped]
        rows = trained(rollout, skip_zero_advantage=self.optimizer.zero_advantage_is_zero_loss)
        return {
            "tokens_generated": sum(m.length for group in groups for m in group.members),
            "flops/generate": self.shape.forward(generated(groups)),
            "flops/train": 3 * self.config.epochs * self.shape.forward(rows),
        }

    def _send(self, version: int) -> None:
        """Give the sampler the weights as they are."""
        self.sampler.update_weights(self.learner.named_tensors(), version=version)

    def _require_same_policy(self, mismatch: Mismatch, rollout: Batch, number: int) -> None:
        limit = self.config.mismatch_limit or LIMITS[self.context.recipe.engine.precision]

        def cause() -> str:
            self.ahead.rest()
            if self.context.accelerator.num_processes > 1:
                return "it holds other weights, or computes in another precision"
            return likely_cause(
                self.learner.model,
                self.sampler,
                rollout,
                tensors=self.learner.named_tensors,
                temperature=self.config.sampling.temperature,
                source=self.context.weights,
                version=number,
            )

        require_same_policy(mismatch, limit, number, cause)

    def _how(self, version: int, clock: StepClock) -> Collection:
        config, accelerator = self.config, self.context.accelerator
        return Collection(
            params=SamplingParams(
                temperature=config.sampling.temperature, max_tokens=config.sampling.max_tokens
            ),
            group_size=config.group_size,
            min_group=config.min_group,
            noise=(self.seed, "sample", self.context.name),
            version=version,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
            gather=clock.timed("wait", gather_groups(accelerator)),
            phase=clock,
        )

    def _fields(self) -> frozenset[str]:
        """Return the fields that need a pass of their own before the first update."""
        needs = self.optimizer.needs & {"ref_logprobs", "old_logprobs", "values"}
        if self.config.old_logprobs == "sampler":
            return frozenset(needs - {"old_logprobs"})
        if self.config.correction is not None:  # compares them with the sampler's
            return frozenset(needs | {"old_logprobs"})
        early = self.many_updates or self.optimizer.advantages_need_old_logprobs
        if not early:  # the current log-probs, without gradient, are the old ones
            needs -= {"old_logprobs"}
        return frozenset(needs)

    def _record(
        self, number: int, metrics: dict[str, Any], groups: list[Group], rollout: Batch
    ) -> None:
        context = self.context
        if not context.is_main:
            return
        write_rollout(context.folder / "rollouts", number, groups, rollout)
        context.registry.notify(
            "palestra_step_finished",
            run=context.folder.parent.parent,
            stage=context.name,
            step=number,
            metrics=metrics,
            groups=groups,
        )
        member = groups[number % len(groups)].members[0]
        context.progress.completion(
            member.messages[-1]["content"], member.text, {**member.components}
        )

    def _evaluate(self) -> dict[str, Any]:
        return evaluate_policy(self.context, self.policy, self.sampler)


def _require_able(context: StageContext, config: RLConfig, sampler: TimedSampler) -> None:
    """Refuse a staleness where nothing can be generated beside the trainer."""
    if not config.staleness:
        return
    where = f"stages.{context.name}.staleness"
    if not sampler.continuous:
        sampler.close()
        raise ConfigError(f"{where}: {no_staleness(context.recipe.engine.sampler.type)}")
    if context.accelerator.num_processes > 1:
        sampler.close()
        raise ConfigError(
            f"{where}: only one process may train beside its sampler, not "
            f"{context.accelerator.num_processes}; more than 0 is for one"
        )


def _make_optimizer(context: StageContext, config: RLConfig) -> PolicyOptimizer:
    kind, name = Kind.POLICY_OPTIMIZER, config.optimizer.type
    factory = cast("type[PolicyOptimizer]", context.registry.load(kind, name))
    return factory(factory.Config.model_validate(config.optimizer.options))


def _mean(updates: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over a step's updates.

    The learning rate is the last update's.
    """
    mean = {k: sum(u[k] for u in updates) / len(updates) for k in updates[0]}
    return mean | {
        "learning_rate": updates[-1]["learning_rate"],
        "tokens_trained": sum(u["tokens_trained"] for u in updates),
    }
