"""`general/Instructions-v1`: small instructions whose result a rule can check."""

from __future__ import annotations

import numpy as np

from palestra.envs import Score, SingleTurnEnv, Task, verdict
from palestra.envs.answers import lenient_answer, strict_answer

_WORDS = {
    "en": [
        "cat",
        "sun",
        "red",
        "tree",
        "blue",
        "fish",
        "star",
        "moon",
        "rain",
        "hat",
        "cup",
        "dog",
        "bird",
        "green",
        "leaf",
        "snow",
        "sea",
    ],
    "zh": list("猫日红树蓝鱼星月雨帽杯狗鸟绿叶雪海"),
}
_TIMES = {"en": ("two", "three", "four", "five"), "zh": ("两", "三", "四", "五")}
_REPEAT = {"en": "Say {w} {n} times.", "zh": "说{n}次{w}。"}
_SWAP = {"en": "Write {a} {b} {c} backwards.", "zh": "倒着写{a} {b} {c}。"}
_PLAN_REPEAT = {"en": "say {w} {n} times", "zh": "说{n}次{w}"}
_PLAN_SWAP = {"en": "start from the last", "zh": "从最后开始"}


class InstructionsEnv(SingleTurnEnv):
    """Repeat a word (level 1), or write three words backwards (level 2).

    A stand-in for the general prompts of the recipe (instructions, writing) at a size where a rule
    can be the judge.
    """

    difficulties = (1, 2)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "zh"
        words = [str(w) for w in rng.choice(_WORDS[language], 3, False)]
        if difficulty == 1:
            n = int(rng.integers(4))
            times = _TIMES[language][n]
            prompt = _REPEAT[language].format(w=words[0], n=times)
            reference = " ".join([words[0]] * (n + 2))
            plan = _PLAN_REPEAT[language].format(w=words[0], n=times)
        else:
            a, b, c = words
            prompt = _SWAP[language].format(a=a, b=b, c=c)
            reference, plan = f"{c} {b} {a}", _PLAN_SWAP[language]
        return Task(prompt=prompt, reference=reference, language=language, metadata={"plan": plan})

    def grade(self, task: Task, completion: str) -> Score:
        strict = strict_answer(completion)
        lenient = lenient_answer(completion)
        return verdict(
            strict,
            correct=_follows(strict, task.reference),
            lenient=_follows(lenient, task.reference),
        )

    def reference_completion(self, task: Task) -> str:
        return f"<think>{task.metadata['plan']}</think><answer>{task.reference}</answer>"


def _follows(answer: str | None, reference: object) -> bool:
    return answer is not None and answer.split() == str(reference).split()
