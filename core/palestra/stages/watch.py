"""The hacking watch: the reward that trains, against a gold reward that does not.

A policy that exploits a reward model raises it while what it stands for falls (DeepSeek-R1, Fig 6,
where the score rose and Codeforces fell). Both are measured on the same rollouts; where over a
window of measurements the proxy rises and the gold falls, each by a trend test, they diverge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from palestra.errors import ConfigError, did_you_mean
from palestra.rewards.base import RewardModel, Scored
from palestra.rewards.config import WatchConfig
from palestra.rewards.models import RewardModels
from palestra.rollout.trajectory import Group, Trajectory

if TYPE_CHECKING:
    from accelerate import Accelerator

SURE = 2.3263478740408408
"""Standard deviations beyond which a trend counts: one-sided p < 0.01."""


def trend(values: Sequence[float]) -> float:
    """Return the Mann-Kendall statistic: how far a series rises (or falls, below 0), in deviations.

    It counts pairs in order less pairs out of order, so neither scale nor outliers matter; ties
    are corrected for (Mann 1945, Kendall 1975). 0 where nothing varies.
    """
    n = len(values)
    score = sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))
    ties = [values.count(value) for value in set(values)]
    variance = (_spread(n) - sum(map(_spread, ties))) / 18
    if score == 0 or variance <= 0:
        return 0.0
    return (score - math.copysign(1, score)) / math.sqrt(variance)


def _spread(n: int) -> int:
    return n * (n - 1) * (2 * n + 5)


class HackingWatch:
    """Measures proxy and gold, and tells when they part.

    Args:
        config: what to watch, and how often.
        models: the run's reward models, where the gold may be one.
        accelerator: the main process measures, and tells the others.
    """

    def __init__(self, config: WatchConfig, models: RewardModels, accelerator: Accelerator) -> None:
        self.config, self._models, self._accelerator = config, models, accelerator
        self.measured: list[tuple[int, float, float]] = []
        self.diverged: int | None = None

    @property
    def must_stop(self) -> bool:
        """Whether the stage is to end here."""
        return self.config.stop and self.diverged is not None

    def measure(self, number: int, groups: Sequence[Group]) -> dict[str, float]:
        """Measure the step `number`, where it is due, and return its metrics.

        Raises:
            ConfigError: no completion has the gold's component.
        """
        if number % self.config.every:
            return {}
        means = self._agreed(groups)
        if means is None:  # the gold had no verdict
            return {}
        proxy, gold = means
        self.measured = [*self.measured, (number, proxy, gold)][-self.config.window :]
        rising = trend([p for _, p, _ in self.measured])
        falling = trend([g for _, _, g in self.measured])
        full = len(self.measured) == self.config.window
        diverging = full and rising > SURE and falling < -SURE
        if diverging and self.diverged is None:
            self.diverged = number
        return {
            "watch/proxy": proxy,
            "watch/gold": gold,
            "watch/proxy_trend": rising,
            "watch/gold_trend": falling,
            "watch/diverging": float(diverging),
        }

    def facts(self, last: int) -> dict[str, Any]:
        """Return what the report says of it; `last` is the stage's last step."""
        gold = self.config.gold
        if self.diverged is None:
            said = f"The reward did not part from the gold reward '{gold}', which trained nothing."
        else:
            stopped = f" The stage was stopped at step {last}." if self.must_stop else ""
            said = (
                f"Reward hacking: at step {self.diverged} the reward had been rising and the gold "
                f"reward '{gold}', which trained nothing, falling over {self.config.window} "
                f"measurements (each p < 0.01, Mann-Kendall).{stopped}"
            )
        return {"watch": {"gold": gold, "diverged": self.diverged}, "notes": [said]}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {"measured": self.measured, "diverged": self.diverged}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.measured = [(int(n), float(p), float(g)) for n, p, g in state["measured"]]
        self.diverged = state["diverged"]

    def _agreed(self, groups: Sequence[Group]) -> tuple[float, float] | None:
        """Return the means as the main process measures them: a judge may answer others else."""
        if self._accelerator.num_processes == 1:
            return self._means(groups)
        from accelerate.utils import broadcast_object_list

        mine = self._means(groups) if self._accelerator.is_main_process else None
        return broadcast_object_list([mine])[0]

    def _means(self, groups: Sequence[Group]) -> tuple[float, float] | None:
        """Return the means of proxy and gold over the members that have both."""
        members = [(g.number, m, g.reference) for g in groups for m in g.valid]
        bare = self.config.gold.removeprefix("model.")
        if not self.config.gold.startswith("env.") and bare in self._models.names:
            golds = _scores(self._models.get(bare), members)
        else:
            bare = bare.removeprefix("env.")
            golds = [m.components.get(bare) for _, m, _ in members]
            if members and all(gold is None for gold in golds):
                offered = sorted({name for _, m, _ in members for name in m.components})
                hint = did_you_mean(bare, offered)
                raise ConfigError(
                    f"watch.gold: no environment of the mixture emits '{bare}'.{hint} "
                    f"They emit: {', '.join(offered)}"
                )
        both = [
            (m.reward, gold)
            for (_, m, _), gold in zip(members, golds, strict=True)
            if gold is not None
        ]
        if not both:
            return None
        return sum(p for p, _ in both) / len(both), sum(g for _, g in both) / len(both)


def _scores(
    model: RewardModel, members: Sequence[tuple[int, Trajectory, object]]
) -> list[float | None]:
    """Return what a gold reward model says of each; None where it came to no verdict."""
    batch = [
        Scored(
            messages=member.messages,
            completion=member.actions[-1],
            language=member.language,
            env_id=member.env_id,
            task_id=member.task_id,
            group=number,
            tokens=member.length,
            truncated=member.stop_reason == "length",
            extracted=member.extracted,
            reference=reference,
        )
        for number, member, reference in members
    ]
    try:
        scores = model.score(batch)
    except ConfigError:
        raise
    except Exception:  # a gold that fails costs its measurement, and not the run
        return [None] * len(batch)
    return [score.paid if score.status.is_valid else None for score in scores]
