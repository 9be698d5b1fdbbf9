"""What each source was asked for and gave, and how often its grader failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from palestra.errors import GraderFailed
from palestra.mixture.config import SourceConfig, labels
from palestra.mixture.curriculum import Outcome

WINDOW = 10
"""Steps that the share of grader errors is taken over."""
_LEAST = 32  # completions before a share says anything


class Tally:
    """Counts of each source over a stage; part of its checkpoints.

    Args:
        sources: the mixture's.
        where: how errors name each source.
    """

    def __init__(self, sources: Sequence[SourceConfig], where: Sequence[str]) -> None:
        self._sources, self._where = sources, where
        self._labels = labels(list(sources))
        self._asked = [0.0 for _ in sources]
        self._prompts = [0 for _ in sources]
        self._completions = [0 for _ in sources]
        self._failed = [0 for _ in sources]
        self._recent: list[list[list[int]]] = [[] for _ in sources]  # [failed, of] a step

    def add(self, outcomes: Sequence[Outcome], asked: Sequence[float]) -> None:
        """Count a step.

        Args:
            outcomes: what became of its prompts.
            asked: prompts that each source was to give.

        Raises:
            GraderFailed: a source's share of grader errors is above its limit.
        """
        for i in range(len(self._sources)):
            own = [o for o in outcomes if o.source == i]
            failed, members = sum(o.failed for o in own), sum(o.members for o in own)
            self._asked[i] += asked[i]
            self._prompts[i] += sum(o.kept for o in own)
            self._completions[i] += members
            self._failed[i] += failed
            self._recent[i] = [*self._recent[i], [failed, members]][-WINDOW:]
            reason = next((o.reason for o in own if o.reason), "no reason given")
            if failed:
                self._require_few_errors(i, reason)

    def _require_few_errors(self, i: int, reason: str) -> None:
        failed = sum(step[0] for step in self._recent[i])
        members = sum(step[1] for step in self._recent[i])
        limit = self._sources[i].max_grader_errors
        if members >= _LEAST and failed > limit * members:
            raise GraderFailed(
                f"{self._where[i]} ({self._sources[i].env}): {failed} of the last {members} "
                f"completions ({failed / members:.0%}) could not be graded; max_grader_errors is "
                f"{limit:.0%}. None was counted as wrong. The latest: {reason}"
            )

    def report(self) -> dict[str, dict[str, float | int]]:
        """Return, by source, the asked and the realised share of prompts, and the counts."""
        wanted, given = sum(self._asked), sum(self._prompts)
        return {
            label: {
                "asked": self._asked[i] / wanted if wanted else 0.0,
                "realised": self._prompts[i] / given if given else 0.0,
                "prompts": self._prompts[i],
                "completions": self._completions[i],
                "grader_errors": self._failed[i],
            }
            for i, label in enumerate(self._labels)
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, as plain data."""
        return {
            "asked": list(self._asked),
            "prompts": list(self._prompts),
            "completions": list(self._completions),
            "failed": list(self._failed),
            "recent": [[list(step) for step in steps] for steps in self._recent],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._asked, self._prompts = list(state["asked"]), list(state["prompts"])
        self._completions, self._failed = list(state["completions"]), list(state["failed"])
        self._recent = [[list(step) for step in steps] for steps in state["recent"]]
