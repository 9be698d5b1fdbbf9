"""From draws to the groups of a step: those that are trained on, and those that are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from palestra.errors import TrainingError
from palestra.mixture.curriculum import Outcome
from palestra.mixture.draw import Mixture
from palestra.rollout.collection import Collection
from palestra.rollout.play import roll_out_everywhere
from palestra.rollout.prompting import Prompter
from palestra.rollout.samplers.base import Sampler
from palestra.rollout.trajectory import Group
from palestra.rollout.wanted import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The groups to train on, and those that were rolled out but not kept."""

    kept: list[Group]
    dropped: list[Group]

    def outcomes(self) -> list[Outcome]:
        """Return what became of each prompt, in the order of their numbers."""
        trained = {group.number for group in self.kept}
        everyone = sorted([*self.kept, *self.dropped], key=lambda group: group.number)
        return [outcome(group, kept=group.number in trained) for group in everyone]


def collect(
    mixture: Mixture,
    sampler: Sampler,
    prompter: Prompter,
    how: Collection,
    *,
    prompts: int,
    keep: Callable[[Group], bool] = lambda group: True,
    max_refills: int = 0,
    oversample: float = 1.0,
) -> Collected:
    """Roll out `prompts` groups, drawing on while `keep` refuses some, at most `max_refills` times.

    Args:
        mixture: draws the prompts.
        sampler: answers them.
        prompter: turns messages into tokens.
        how: sizes, seeds and parameters.
        prompts: groups to keep.
        keep: whether a group is worth training on.
        max_refills: times that prompts are drawn for the groups that were refused.
        oversample: prompts that are drawn for each that is wanted. The first usable groups count,
            by number; those behind them are neither kept nor dropped, and cut off where the sampler
            is continuous.

    Raises:
        TrainingError: no group at all could be kept.
    """
    kept: list[Group] = []
    dropped: list[Group] = []
    missing: list[int] = []  # sources of the groups that a refill makes up for
    for _ in range(1 + max_refills):
        count = prompts - len(kept)
        wanted = Wanted(count, lambda g: len(g.valid) >= how.min_group and keep(g))
        spare = ceil(count * oversample) - count
        draws = mixture.draw(count, replacing=missing, spare=spare)
        cut = wanted if spare and how.world == 1 else None
        groups = roll_out_everywhere(draws, mixture.sources, sampler, prompter, how, cut)
        refused: list[Group] = []
        for group in sorted(groups, key=lambda g: g.number):
            if len(kept) == prompts:
                break
            (kept if wanted.usable(group) else refused).append(group)
        dropped += refused
        missing = [group.source for group in refused]
        if len(kept) == prompts:
            break
    if not kept:
        raise TrainingError(_why_nothing(dropped, how.min_group))
    return Collected(kept=kept, dropped=dropped)


def outcome(group: Group, *, kept: bool) -> Outcome:
    """Return what became of a group's prompt, as a mixture and its curriculum see it."""
    failed = [m for m in group.members if not m.status.is_valid]
    first = group.members[0]
    return Outcome(
        source=group.source,
        number=group.number,
        task_id=first.task_id,
        difficulty=first.difficulty,
        kept=kept,
        rewards=tuple(m.reward for m in group.valid),
        components=tuple(m.components for m in group.valid),
        failed=len(failed),
        reason=failed[0].reason if failed else "",
    )


def _why_nothing(dropped: Sequence[Group], min_group: int) -> str:
    invalid = [m for g in dropped for m in g.members if not m.is_valid]
    statuses = sorted({str(m.status) for m in invalid}) or ["none"]
    reason = next((m.reason for m in invalid if m.reason), "every group was refused")
    kind: Literal["graders failed", "the optimizer kept none"] = (
        "graders failed" if invalid else "the optimizer kept none"
    )
    return (
        f"no group of this step can be trained on ({kind}): {len(dropped)} groups dropped, "
        f"at least {min_group} valid members wanted; statuses: {', '.join(statuses)}; {reason}"
    )
