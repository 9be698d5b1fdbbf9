"""`self_consistency`: what the group's own answers say is right, without any reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal

from palestra.config import ConfigModel
from palestra.envs import Score, Status
from palestra.rewards.base import Scored


class SelfConsistencyConfig(ConfigModel):
    """Options of ``{type: self_consistency}``."""

    pays: Literal["majority", "share"] = "majority"
    """``majority`` pays 1 for the group's commonest answer and 0 for others (TTRL, arXiv
    2504.16084); ``share`` pays the share of the group's members that gave the same answer."""


class SelfConsistencyReward:
    """Agreement with the other completions of the prompt, by the answer that was read out.

    Answers are compared as the environment extracted them, but for case and white space. Where
    several are the commonest, each earns its share of 1. A completion without an answer earns 0,
    and counts as a member.
    """

    def __init__(self, config: SelfConsistencyConfig) -> None:
        self.config = config

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return 0 to 1 for each; no verdict where the group is not known."""
        answers = [_normal(item.extracted) for item in batch]
        sizes = Counter(item.group for item in batch)
        votes: dict[Hashable, Counter[str]] = {}
        for item, answer in zip(batch, answers, strict=True):
            if answer is not None:
                votes.setdefault(item.group, Counter())[answer] += 1
        return [
            self._score(item, answer, votes.get(item.group, Counter()), sizes[item.group])
            for item, answer in zip(batch, answers, strict=True)
        ]

    def _score(self, item: Scored, answer: str | None, votes: Counter[str], size: int) -> Score:
        if item.group is None:
            return Score.failed("nobody said which completions are of one prompt")
        if answer is None:
            return Score(
                value=0.0,
                components={"self_consistency": 0.0},
                status=Status.UNPARSABLE,
                reason="no answer to compare",
            )
        most = max(votes.values())
        if self.config.pays == "share":
            value = votes[answer] / size
        else:
            tied = sum(count == most for count in votes.values())
            value = 1 / tied if votes[answer] == most else 0.0
        return Score(value=value, components={"self_consistency": value}, extracted=item.extracted)


def _normal(answer: str | None) -> str | None:
    return None if answer is None else " ".join(answer.split()).casefold() or None
