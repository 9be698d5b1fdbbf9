"""`target_language`: R1's language-consistency reward, for languages that share a script too."""

from __future__ import annotations

from collections.abc import Sequence

from palestra.envs import Score
from palestra.rewards.base import Scored
from palestra.rewards.language import chain_of_thought
from palestra_language.share import target_language_share


class TargetLanguageReward:
    """The share of target-language words in the chain of thought (DeepSeek-R1, eq. 7).

    Where `language_consistency` of core goes by scripts alone, this tells German from English, and
    Japanese from Chinese. Thoughts without a word earn 0; an episode that asks for no language 1.
    """

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return the share for each completion."""
        return [_score(item) for item in batch]


def _score(item: Scored) -> Score:
    share = 1.0
    if item.language is not None:
        share = target_language_share(chain_of_thought(item.completion), item.language)
    return Score(value=share, components={"target_language": share})
