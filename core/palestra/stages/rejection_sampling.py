"""Rejection sampling: sample, keep what earns what is required, write it as training data."""

from __future__ import annotations

import json
from typing import Any, cast

from palestra.errors import TrainingError
from palestra.mixture.draw import make_mixture
from palestra.rewards.models import RewardModels
from palestra.rollout.collect import Collected
from palestra.rollout.collection import Collection
from palestra.rollout.play import roll_out_everywhere
from palestra.rollout.samplers.base import SamplingParams
from palestra.rollout.trajectory import Group, Trajectory
from palestra.seeding import rng
from palestra.stages.base import StageContext, StageResult
from palestra.stages.config import RejectionSamplingConfig
from palestra.stages.dataset import DataFacts, version_of, write_dataset
from palestra.stages.evaluate import evaluate_policy
from palestra.stages.filters import Filters, Taken, write_layout
from palestra.stages.gather import gather_groups
from palestra.stages.policy import load_policy, make_sampler


class RejectionSamplingStage:
    """Samples completions and keeps the good ones of each prompt (DeepSeek-R1, appendix B.3.3)."""

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.config = cast("RejectionSamplingConfig", context.config)

    def run(self) -> StageResult:
        """Write ``examples.parquet``: prompt messages and completions, one distinct text each.

        Raises:
            TrainingError: fewer than `min_examples` were good enough.
        """
        context, config, seed = self.context, self.config, self.context.recipe.seed
        context.progress.stage(context.name, 0)
        policy = load_policy(context)
        sampler = make_sampler(context, policy.model)
        where = f"mixtures.{config.mixture}"
        described = context.recipe.mixtures[config.mixture]
        models = context.reward_models
        mixture = make_mixture(described, context.registry, where, seed, context.name, models)
        how = Collection(
            params=SamplingParams(**config.sampling.model_dump()),
            group_size=config.samples,
            noise=(seed, "sample", context.name),
            rank=context.accelerator.process_index,
            world=context.accelerator.num_processes,
            gather=gather_groups(context.accelerator),
        )
        draws = mixture.draw(config.prompts)
        context.progress.activity(
            f"sampling {config.prompts} prompts x {config.samples} for {context.name}"
        )
        try:
            groups = roll_out_everywhere(draws, mixture.sources, sampler, policy.prompter, how)
            mixture.observe(Collected(kept=groups, dropped=[]).outcomes())
            evals = evaluate_policy(context, policy, sampler)
        finally:
            sampler.close()
        taken = Taken()
        examples = self._choose(groups, taken)
        sampled = sum(len(group.members) for group in groups)
        file = context.folder / "examples.parquet"
        about = self._facts(examples, sampled, taken)
        if context.is_main:
            write_dataset(examples, file, about)
        context.accelerator.wait_for_everyone()
        facts = {
            "sampled": sampled,
            "examples": len(examples),
            "taken": dict(about.taken),
            "version": about.version,
            "mixture": mixture.report(),
        }
        return StageResult(weights=context.weights, data=file, evals=evals, facts=facts)

    def _choose(self, groups: list[Group], taken: Taken) -> list[dict[str, Any]]:
        """Return the examples: of each prompt some that every filter leaves, in a seeded order."""
        context, config = self.context, self.config
        evaluations = {id(s.eval): s.eval for s in context.recipe.stages.values() if s.eval}
        filters = Filters(
            config.filters,
            config.require,
            config.layout,
            context.registry,
            context.reward_models or RewardModels(context.registry),
            list(evaluations.values()),
            f"stages.{context.name}",
        )
        good = {id(member) for member in filters.sift(groups, taken)}
        chooser = rng(context.recipe.seed, "choose", context.name)
        seen: set[tuple[str, str]] = set()
        examples: list[dict[str, Any]] = []
        for group in groups:
            left = [member for member in group.members if id(member) in good]
            kept = 0
            for place in chooser.permutation(len(left)):
                member = left[int(place)]
                key = filters.key(member)
                if key in seen:
                    taken.counts["duplicates"] += 1
                elif kept == config.keep_per_prompt:
                    taken.counts["keep_per_prompt"] += 1
                else:
                    seen.add(key)
                    kept += 1
                    examples.append(_example(member, config.layout))
        sampled = sum(len(group.members) for group in groups)
        if len(examples) < config.min_examples:
            raise TrainingError(
                f"{context.name}: {len(examples)} of {sampled} completions are left, and "
                f"min_examples is {config.min_examples}. Taken by {taken}. Sample more prompts, or "
                "ask for less in `require` and `filters`"
            )
        order = chooser.permutation(len(examples))[: config.max_examples]
        if over := len(examples) - len(order):
            taken.counts["max_examples"] = over
        return [examples[int(i)] for i in order]

    def _facts(self, examples: list[dict[str, Any]], sampled: int, taken: Taken) -> DataFacts:
        context, config = self.context, self.config
        told = {"require", "filters", "layout", "keep_per_prompt", "max_examples", "sampling"}
        return DataFacts(
            recipe=context.recipe.name,
            stage=context.name,
            seed=context.recipe.seed,
            model=config.init_from if config.init_from != "base" else context.recipe.model,
            lineage=context.lineage,
            version=version_of(examples),
            sampled=sampled,
            kept=len(examples),
            taken=dict(taken.counts),
            filters=config.model_dump(mode="json", include=told),
        )


def _example(member: Trajectory, layout: str | None) -> dict[str, Any]:
    return {
        "env_id": member.env_id,
        "task_id": member.task_id,
        "prompt_hash": member.prompt_hash,
        "messages": json.dumps([dict(m) for m in member.messages], ensure_ascii=False),
        "prompt": member.messages[-1]["content"],
        "completion": write_layout(layout, member.text),
        "language": member.language,
        "reward": member.reward,
    }
