"""Evaluation: of given weights as a stage of its own, or of a stage's own policy."""

from __future__ import annotations

from typing import Any

from palestra.evaluation.answered import FILE, write_answered
from palestra.evaluation.evaluate import evaluate, measure
from palestra.rollout.samplers.base import Sampler
from palestra.stages.base import StageContext, StageResult
from palestra.stages.gather import gather_groups
from palestra.stages.policy import LoadedPolicy, load_policy, make_sampler


class EvaluateStage:
    """Evaluates the weights it is given, and passes them on."""

    def __init__(self, context: StageContext) -> None:
        self.context = context

    def run(self) -> StageResult:
        """Answer the recipe's held-out questions."""
        self.context.progress.stage(self.context.name, 0)
        policy = load_policy(self.context)
        sampler = make_sampler(self.context, policy.model)
        try:
            evals = evaluate_policy(self.context, policy, sampler)
        finally:
            sampler.close()
        return StageResult(weights=self.context.weights, evals=evals)


def evaluate_policy(
    context: StageContext, policy: LoadedPolicy, sampler: Sampler
) -> dict[str, dict[str, Any]]:
    """Evaluate `policy` as the stage's ``eval`` says; nothing where it says nothing.

    The questions, one by one, are left in the stage's folder.
    """
    config = context.config.eval
    if config is None:
        return {}
    context.progress.activity(f"evaluating {context.name}")
    answered = evaluate(
        config,
        context.registry,
        policy.prompter,
        sampler,
        max_tokens=context.config.eval_max_tokens,
        rank=context.accelerator.process_index,
        world=context.accelerator.num_processes,
        gather=gather_groups(context.accelerator),
    )
    if context.is_main:
        write_answered(answered, context.folder / FILE)
    return measure(answered, config.pass_at)
