"""Rewards that carry no information, for controls (arXiv 2506.10947)."""

from __future__ import annotations

from collections.abc import Sequence

from palestra.envs import Score
from palestra.rewards.base import Scored
from palestra.seeding import stable_hash


class RandomReward:
    """Pays 1 for half of all completions, whatever they say, and the same one always the same."""

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return 0.0 or 1.0 for each, by the hash of task and completion."""
        return [
            Score(value=v, components={"random": v})
            for v in (float(int(_digest(item), 16) % 2) for item in batch)
        ]


def _digest(item: Scored) -> str:
    return stable_hash(f"{item.env_id}\n{item.task_id}\n{item.completion}")
