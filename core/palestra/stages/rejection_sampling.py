"""Rejection sampling: sample, keep what earns what is required, write it as training data."""

from __future__ import annotations

import json
from typing import Any, cast

from palestra.errors import TrainingError
from palestra.mixture.draw import make_mixture
from palestra.rewards.format import is_strict
from palestra.rollout.collect import Collected
from palestra.rollout.collection import Collection
from palestra.rollout.play import roll_out_everywhere
from palestra.rollout.record import language_consistency
from palestra.rollout.samplers.base import SamplingParams
from palestra.rollout.trajectory import Group, Trajectory
from palestra.seeding import rng
from palestra.stages.base import StageContext, StageResult
from palestra.stages.config import RejectionSamplingConfig
from palestra.stages.evaluate import evaluate_policy
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
        examples = self._choose(groups)
        file = context.folder / "examples.parquet"
        if context.is_main:
            _write(examples, file)
        context.accelerator.wait_for_everyone()
        facts = {
            "sampled": sum(len(group.members) for group in groups),
            "examples": len(examples),
            "mixture": mixture.report(),
        }
        return StageResult(weights=context.weights, data=file, evals=evals, facts=facts)

    def _choose(self, groups: list[Group]) -> list[dict[str, Any]]:
        config = self.config
        chooser = rng(self.context.recipe.seed, "choose", self.context.name)
        seen: set[tuple[str, str]] = set()
        examples: list[dict[str, Any]] = []
        for group in groups:
            good = [m for m in group.valid if self._is_good(m)]
            kept = 0
            for place in chooser.permutation(len(good)):
                member = good[int(place)]
                key = (member.prompt_hash, member.text)
                if kept < config.keep_per_prompt and key not in seen:
                    seen.add(key)
                    kept += 1
                    examples.append(_example(member))
        if len(examples) < config.min_examples:
            raise TrainingError(
                f"{self.context.name}: {len(examples)} of {sum(len(g.members) for g in groups)} "
                f"completions earned {json.dumps(config.require)}; min_examples is "
                f"{config.min_examples}. Sample more prompts, or require less"
            )
        order = chooser.permutation(len(examples))[: config.max_examples]
        return [examples[int(i)] for i in order]

    def _is_good(self, member: Trajectory) -> bool:
        measures = {
            "format": float(is_strict(member.text)),
            "language_consistency": language_consistency(member),
            **member.components,
        }
        if member.stop_reason == "length":
            return False
        return all(
            (value := measures.get(name)) is not None and value >= least
            for name, least in self.config.require.items()
        )


def _example(member: Trajectory) -> dict[str, Any]:
    return {
        "env_id": member.env_id,
        "task_id": member.task_id,
        "prompt_hash": member.prompt_hash,
        "messages": json.dumps([dict(m) for m in member.messages], ensure_ascii=False),
        "prompt": member.messages[-1]["content"],
        "completion": member.text,
        "language": member.language,
        "reward": member.reward,
    }


def _write(examples: list[dict[str, Any]], file: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    pq.write_table(pa.Table.from_pylist(examples), temporary, compression="zstd")
    temporary.replace(file)
