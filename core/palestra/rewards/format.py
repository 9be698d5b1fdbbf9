"""R1's format reward: thoughts in one pair of tags, the answer in another, nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence

from palestra.envs import Score
from palestra.rewards.base import Scored

_TAG = re.compile(r"</?(?:think|answer)>")
_STRICT = re.compile(r"\s*<think>(.*)</think>\s*<answer>(.*)</answer>\s*", re.DOTALL)


def is_strict(completion: str) -> bool:
    """Whether `completion` is ``<think>…</think><answer>…</answer>``: each tag once, in order.

    Each part has to show a character (not white space, not one of no width, no control), and
    nothing but white space may stand outside. A prefilled ``<think>`` is part of the completion
    that graders get, so it counts as the policy's.
    """
    if len(_TAG.findall(completion)) != 4:  # first: with more tags the pattern could take for ever
        return False
    match = _STRICT.fullmatch(completion)
    return match is not None and _shows(match[1]) and _shows(match[2])


def _shows(part: str) -> bool:
    return any(char.isprintable() and not char.isspace() for char in part)


class FormatReward:
    """1 for R1's strict format, else 0 (DeepSeek-R1, section 2.2)."""

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return 1.0 or 0.0 for each completion."""
        return [
            Score(value=v, components={"format": v})
            for v in (float(is_strict(item.completion)) for item in batch)
        ]
