"""`repetition`: what a completion loses by saying the same again."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import Field

from palestra.config import ConfigModel
from palestra.envs import Score
from palestra.rewards.base import Scored

# A character of a language without spaces is a word, and so is a sign; one long run of letters
# falls into pieces, or it could repeat itself unseen.
_OWN = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_OWN}]|[^\W{_OWN}]{{1,16}}|\S")
_TAGS = re.compile(r"</?(?:think|answer)>")


class RepetitionConfig(ConfigModel):
    """Options of ``{type: repetition}``."""

    ngram: int = Field(default=4, ge=1)
    """Words in a row that count as the same again."""


class RepetitionReward:
    """Minus the share of the n-grams that are there a second time (as open-r1 has it).

    0 where no n-gram comes again, or the completion is too short to have one; near -1 in a loop.
    """

    def __init__(self, config: RepetitionConfig) -> None:
        self.config = config

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return 0 down to -1 for each completion."""
        values = [-repeated_share(item.completion, self.config.ngram) for item in batch]
        return [Score(value=v, components={"repetition": v}) for v in values]


def repeated_share(text: str, ngram: int) -> float:
    """Return 1 - (distinct n-grams / n-grams) of the words of `text`; 0 where there is none.

    R1's tags are no words, and capitals do not count.
    """
    words = _WORD.findall(_TAGS.sub(" ", text).lower())
    count = len(words) - ngram + 1
    if count < 1:
        return 0.0
    return 1 - len({tuple(words[i : i + ngram]) for i in range(count)}) / count
