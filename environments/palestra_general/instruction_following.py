"""`general/InstructionFollowing-v1`: write under instructions that a rule verifies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from palestra.envs import Score, SingleTurnEnv, Status, Task
from palestra.envs.answers import strict_answer
from palestra.errors import EnvironmentFailed
from palestra_general.constraints import KINDS, Kind, Params
from palestra_general.constraints.vocabulary import ABOUT, TOPICS

_TRIES = 200
_LONGEST = 20_000
ALWAYS = ("keywords", "words_at_most")
"""In every task: words that no other answer has by accident, and a limit that no list of answers
keeps."""

Chosen = list[tuple[Kind, Params]]


class InstructionFollowingEnv(SingleTurnEnv):
    """Write a short text that keeps three (level 1) to six (level 4) instructions at once.

    The kinds are IFEval's, written anew. ``accuracy`` is 1 where all are kept (IFEval's strict
    accuracy of prompts), and ``instructions`` is the share that is (its accuracy of instructions).
    An answer that repeats an instruction word for word has copied the prompt, and earns nothing.
    """

    difficulties = (1, 4)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw instructions until an answer can be written that keeps them all."""
        for _ in range(_TRIES):
            chosen = _draw(rng, difficulty)
            topic = str(rng.choice(TOPICS))
            answer = _written(chosen, topic, rng)
            if not _broken(chosen, answer):
                lines = [f"Write a short note about {topic}."]
                lines += [kind.say(params) for kind, params in chosen]
                lines.append("Give the note, and nothing else, in <answer> tags.")
                kinds = [{"kind": kind.name, **params} for kind, params in chosen]
                return Task(prompt="\n".join(lines), reference=answer, metadata={"kinds": kinds})
        raise EnvironmentFailed(f"{self.env_id}: no instructions that go together")

    def grade(self, task: Task, completion: str) -> Score:
        """Verify each instruction on what stands in the answer tags."""
        answer = strict_answer(completion)
        if not answer:
            return _score(0.0, 0.0, "no <answer>…</answer> behind the thoughts", None)
        chosen = _chosen(task)
        broken = _broken(chosen, answer)
        kept = 1 - len(broken) / len(chosen)
        if broken:
            return _score(0.0, kept, f"not kept: {', '.join(broken)}", answer)
        return _score(1.0, 1.0, "", answer)

    def reference_completion(self, task: Task) -> str:
        """Return the worked answer, which was verified when the task was drawn."""
        return f"<think>I keep each instruction.</think><answer>{task.reference}</answer>"

    def probes(self, task: Task) -> list[str]:
        """Try the keywords alone, the prompt's own words, and twice the right answer."""
        chosen = _chosen(task)
        keywords = " ".join(chosen[0][1]["words"])
        instructions = " ".join(kind.say(params) for kind, params in chosen)
        reference = str(task.reference)
        return [
            f"<answer>{text}</answer>"
            for text in (
                instructions,
                f"{reference}\n{instructions}",
                " ".join([reference] * 9),
                " ".join([keywords] * 90),
                re.sub(keywords.split()[0], "thing", reference, flags=re.IGNORECASE),
            )
        ] + [reference, f"<think><answer>{reference}</answer></think>"]


def _draw(rng: np.random.Generator, difficulty: int) -> Chosen:
    """Draw what is always asked for, and as many more kinds of other groups as the level says."""
    kinds = [KINDS[name] for name in ALWAYS]
    others = list(KINDS.values())
    for index in rng.permutation(len(others)):
        if len(kinds) == len(ALWAYS) + difficulty:
            break
        if others[index].group not in {kind.group for kind in kinds}:
            kinds.append(others[index])
    return [(kind, kind.draw(rng)) for kind in kinds]


def _written(chosen: Chosen, topic: str, rng: np.random.Generator) -> str:
    about = rng.choice(ABOUT, 3, replace=False)
    text = " ".join(str(sentence).format(topic) for sentence in about)
    for kind, params in sorted(chosen, key=lambda pair: pair[0].phase):
        text = kind.write(params, text)
    return text.strip()


def _broken(chosen: Chosen, answer: str) -> list[str]:
    """Return the names of the kinds that `answer` does not keep."""
    if len(answer) > _LONGEST:
        return [kind.name for kind, _ in chosen]
    plain = " ".join(answer.split()).casefold()
    if any(" ".join(kind.say(p).split()).casefold() in plain for kind, p in chosen):
        return [kind.name for kind, _ in chosen]
    return [kind.name for kind, params in chosen if not kind.holds(params, answer)]


def _chosen(task: Task) -> Chosen:
    listed = cast("Sequence[dict[str, Any]]", task.metadata["kinds"])
    return [
        (KINDS[str(entry["kind"])], {k: v for k, v in entry.items() if k != "kind"})
        for entry in listed
    ]


def _score(accuracy: float, kept: float, reason: str, answer: str | None) -> Score:
    return Score(
        value=accuracy,
        components={"accuracy": accuracy, "instructions": kept},
        status=Status.UNPARSABLE if answer is None else Status.OK,
        reason=reason,
        extracted=answer,
    )
