"""`general/Search-v1`: questions whose answer lies several articles away, and a search tool."""

from __future__ import annotations

from typing import cast

import numpy as np

from palestra.envs import Score, Task
from palestra.envs.answers import same_answer
from palestra.terminal import one_line
from palestra_general.corpus import Chain, articles, best, chains
from palestra_general.tools import ToolEnv, ToolError, judged, schema, spoken

CHAINS = 6


class SearchEnv(ToolEnv):
    """One (level 1) to three (level 3) steps through a made-up encyclopaedia of 24 articles.

    Every name is made up with the task, so that nothing but the corpus knows the answer.
    """

    difficulties = (1, 3)
    max_turns = 8
    schemas = (
        schema("search", "Find the three articles that match best.", query="string: a few words"),
        schema("read", "Return an article.", title="string: as search() gives it"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._articles: dict[str, str] = {}

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw a corpus, and ask for the end of one of its chains."""
        facts = chains(rng, CHAINS)
        question, answer = _asked(facts[int(rng.integers(CHAINS))], difficulty)
        return Task(
            prompt=f"{question} Give the name alone in <answer> tags.",
            system=spoken(self.schemas),
            reference=answer,
            metadata={"articles": articles(rng, facts)},
            tools=self.schemas,
        )

    def start(self, task: Task) -> None:
        """Open the task's corpus."""
        self._articles = cast("dict[str, str]", task.metadata["articles"])

    def tool_search(self, query: str) -> list[str]:
        """Return titles."""
        return best(query, self._articles)

    def tool_read(self, title: str) -> str:
        """Return an article."""
        if title not in self._articles:
            raise ToolError(f"no article '{one_line(title[:60])}'")
        return self._articles[title]

    def judge(self, task: Task, answer: str) -> Score:
        """Compare the name."""
        return judged(same_answer(answer, task.reference), answer, "another name")


def _asked(fact: Chain, steps: int) -> tuple[str, str]:
    if steps == 1:
        return f"Who invented the {fact.machine}?", fact.inventor
    if steps == 2:
        return f"In which town was the inventor of the {fact.machine} born?", fact.town
    place = f"the town where the inventor of the {fact.machine} was born"
    return f"Which river flows through {place}?", fact.river
