"""`logic/Ordering-v1`: find the one order that satisfies shuffled premises."""

from __future__ import annotations

import itertools
import re

import numpy as np

from palestra.envs import Score, SingleTurnEnv, Task, verdict
from palestra.envs.answers import strict_answer

_PREMISE = {"en": "{a} before {b}", "zh": "{a}在{b}前"}
_ASK = {"en": "{p}. What is the order?", "zh": "{p}。顺序是什么？"}
_JOIN = {"en": "; ", "zh": "；"}
_FIRST = {"en": "first {a}", "zh": "首先{a}"}
_SO = {"en": "so {o}", "zh": "所以{o}"}
_ORDER = re.compile(r"[A-Z](?:[\s,，、>＞]*[A-Z])+")


class OrderingEnv(SingleTurnEnv):
    """Letters in an unknown order; each premise says which of two neighbours comes before.

    The premises are the neighbouring pairs, shuffled, so the order is unique by construction.
    Level n has n + 2 letters.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "zh"
        order = "".join(rng.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), difficulty + 2, False))
        pairs = list(itertools.pairwise(order))
        rng.shuffle(pairs)
        premises = _JOIN[language].join(_PREMISE[language].format(a=a, b=b) for a, b in pairs)
        return Task(
            prompt=_ASK[language].format(p=premises),
            reference=order,
            language=language,
        )

    def grade(self, task: Task, completion: str) -> Score:
        strict = strict_answer(completion)
        orders = _ORDER.findall(completion)
        return verdict(
            strict,
            correct=strict is not None and _letters(strict) == task.reference,
            lenient=bool(orders) and _letters(orders[-1]) == task.reference,
        )

    def reference_completion(self, task: Task) -> str:
        order, language = str(task.reference), task.language or "en"
        lines = [
            _FIRST[language].format(a=order[0]),
            *(_PREMISE[language].format(a=a, b=b) for a, b in itertools.pairwise(order)),
            _SO[language].format(o=order),
        ]
        return f"<think>{chr(10).join(lines)}</think><answer>{order}</answer>"


def _letters(text: str) -> str | None:
    """Return the letters of an order such as ``A, B > C``, or None where anything else stands."""
    bare = re.sub(r"[\s,，、>＞]", "", text)
    return bare if re.fullmatch(r"[A-Z]+", bare) else None
