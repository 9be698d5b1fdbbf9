"""Small environments, each with one defect that exactly one check finds: `DEFECTS` is the table."""

from __future__ import annotations

import ctypes
import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from palestra.envs import MultiTurnEnv, Score, SingleTurnEnv, Split, Task, TextEnv, TextSpace, Turn
from palestra.envs.answers import same_answer, strict_answer
from palestra.plugins.specs import EnvironmentSpec


class Sound(SingleTurnEnv):
    """The base of most: nothing is wrong with it."""

    env_id = "test/Sound-v1"

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        a, b = (int(n) for n in rng.integers(1_000, 100_000, size=2))
        return Task(prompt=f"What is {a} + {b}?", reference=str(a + b))


class Panel(Sound):
    """Judges whole groups, and nothing is wrong with it either."""

    env_id = "test/Panel-v1"

    def grade_group(self, task: Task, completions: Sequence[str]) -> list[float]:
        return [float(same_answer(strict_answer(c), task.reference)) for c in completions]


class Pile(Sound):
    """Judges whole batches, and nothing is wrong with it either."""

    env_id = "test/Pile-v1"

    def grade_batch(self, tasks: Sequence[Task], completions: Sequence[str]) -> list[float]:
        pairs = zip(tasks, completions, strict=True)
        return [float(same_answer(strict_answer(c), task.reference)) for task, c in pairs]


class Miscounts(Sound):
    """Judges whole groups, and leaves a member out."""

    env_id = "test/Miscounts-v1"

    def grade_group(self, task: Task, completions: Sequence[str]) -> list[float]:
        return [1.0 for _ in completions[1:]]


class PanelPaysEverybody(Sound):
    """Judges whole groups, and pays the best of each, however wrong it is."""

    env_id = "test/PanelPaysEverybody-v1"

    def grade_group(self, task: Task, completions: Sequence[str]) -> list[float]:
        longest = max(len(c) for c in completions)
        return [float(len(c) == longest) for c in completions]


class Chat(MultiTurnEnv):
    """The base of the conversations: guess a number in four turns."""

    env_id = "test/Chat-v1"
    max_turns = 4

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        a, b = (int(n) for n in rng.integers(1_000, 100_000, size=2))
        return Task(prompt=f"What is {a} + {b}? You have four tries.", reference=str(a + b))

    def respond(self, task: Task, action: str) -> Turn:
        if same_answer(strict_answer(action), task.reference):
            return Turn(score=Score(value=1.0), done=True)
        return Turn(observation="No. Try again.", score=Score(value=0.0))


# -- tasks --------------------------------------------------------------------------------------


class CannotBeReset(Sound):
    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        raise KeyError("no such file")


class HashesStrings(Sound):
    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        task = super().sample(rng, difficulty)
        return replace(task, prompt=f"{task.prompt} (question {hash(task.prompt) % 10_000})")


class Remembers(Sound):
    """Its tasks depend on how often it was reset."""

    resets = 0

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        task = super().sample(rng, difficulty)
        return replace(task, prompt=f"{task.prompt} (week {self.resets // 10})")

    def reset(self, **kwargs: Any) -> Any:
        # Not where an id is asked for, and only with plain seeds: the other checks have their own.
        plain = kwargs.get("seed") is not None and not kwargs.get("options")
        self.resets += plain
        return super().reset(**kwargs)


class ForgetsIds(Sound):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if options and str(options.get("task_id", "")).startswith("train/"):
            options = {**options, "task_id": "train/s12345@1"}
        return super().reset(seed=seed, options=options)


class SaltsInstances(Sound):
    """Each instance of a process has tasks of its own, numbered by when it was made."""

    made = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self._salt: int | None = None

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        if self._salt is None:
            self._salt = next(SaltsInstances.made)
        task = super().sample(rng, difficulty)
        if self._salt in (4, 5):  # the other checks' instances share their tasks
            return replace(task, prompt=f"{task.prompt} (sheet {self._salt})")
        return task


def _questions(count: int, first: int = 0) -> list[Task]:
    return [
        Task(prompt=f"What is number {n} squared?", reference=str((n + 1_000) ** 2), id=f"q{n}")
        for n in range(first, first + count)
    ]


class Listed(Sound):
    """Listed tasks: nothing is wrong with it."""

    rows: dict[str, list[Task]] = {
        "train": _questions(150),
        "validation": _questions(20, 200),
        "test": _questions(20, 300),
    }

    def tasks(self, split: Split) -> Sequence[Task]:
        return self.rows[split]


class SharesPrompts(Listed):
    rows = {
        **Listed.rows,
        "test": [replace(t, id=f"t{n}") for n, t in enumerate(_questions(20, 140))],
    }


class LacksASplit(Sound):
    """It gives training tasks, by name too, for the test split."""

    def reset(self, **kwargs: Any) -> Any:
        observation, info = super().reset(**kwargs)
        if info["split"] == "validation":
            info["split"] = "train"
        return observation, info


class WrongSize(Listed):
    pass


class FewTasks(Sound):
    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        a = int(rng.integers(80))
        return Task(prompt=f"What is {a} times 7919?", reference=str(a * 7919))


class NumPyAnswers(Sound):
    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        a, b = rng.integers(1_000, 100_000, size=2)
        return Task(prompt=f"What is {a} + {b}?", reference=a + b)


class Text(str):
    """Plain for JSON, and refused by pickle."""

    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


class Unpicklable(Sound):
    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        task = super().sample(rng, difficulty)
        return replace(task, metadata={"note": Text("hello")})


class TakesAnyOption(Sound):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        known = {k: v for k, v in (options or {}).items() if k != "splitt"}
        return super().reset(seed=seed, options=known)


class IgnoresDifficulty(Sound):
    difficulties = (1, 3)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        return replace(super().sample(rng, difficulty), metadata={"difficulty": 2})


class Narrow(TextSpace):
    """Holds ASCII only."""

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and (len(x) > 12 or x.isascii())


class NarrowSpace(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Narrow()


# -- episodes -----------------------------------------------------------------------------------


class FailsGymnasium(Sound):
    """It forgets the generator that Gymnasium wants seeded."""

    def reset(self, **kwargs: Any) -> Any:
        result = super().reset(**kwargs)
        self._np_random = None
        return result


class DropsAKey(Sound):
    def step(self, action: str) -> Any:
        *rest, info = super().step(action)
        del info["extracted_answer"]
        return *rest, info


class ShowsTheAnswer(Sound):
    def grade(self, task: Task, completion: str) -> Score:
        right = same_answer(strict_answer(completion), task.reference)
        return Score(value=float(right), reason=f"expected {task.reference}")


class PaysItsInfo(Sound):
    """The hash of the prompt is as good as the answer."""

    def step(self, action: str) -> Any:
        cheat = self.task is not None and self.task.prompt_hash in action
        observation, reward, *rest = super().step(action)
        return observation, 1.0 if cheat else reward, *rest


class Truncates(Chat):
    """It gives up a turn too early."""

    max_turns = 3


class StepsOn(Sound):
    def step(self, action: str) -> Any:
        if self.task is None:
            return "", 0.0, True, False, {}
        return super().step(action)


class RewritesHistory(Chat):
    def respond(self, task: Task, action: str) -> Turn:
        if len(self._messages) > 2:
            self._messages[1] = {"role": "assistant", "content": "(left out)"}
        return super().respond(task, action)


class Raises(Sound):
    def grade(self, task: Task, completion: str) -> Score | float:
        "".join(completion.split("\x00", 1)).index(completion)  # as parsers do at null bytes
        return super().grade(task, completion)


class Dies(Sound):
    def grade(self, task: Task, completion: str) -> Score | float:
        if "\x00" in completion:
            ctypes.string_at(0)
        return super().grade(task, completion)


class Hangs(Sound):
    def grade(self, task: Task, completion: str) -> Score | float:
        while "10^{10^" in completion:
            time.sleep(0.01)
        return super().grade(task, completion)


class Slow(Sound):
    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        time.sleep(0.11)
        return super().sample(rng, difficulty)


# -- rewards ------------------------------------------------------------------------------------


class RefusesReferences(Sound):
    def reference_completion(self, task: Task) -> str:
        return f"The answer is {task.reference}."


class LeavesItsRange(Sound):
    """A fine for formulas, which its spec does not tell of."""

    def grade(self, task: Task, completion: str) -> Score | float:
        return super().grade(task, completion) if "9**9" not in completion else -1.0


class Moody(Sound):
    graded = 0

    def grade(self, task: Task, completion: str) -> Score | float:
        self.graded += 1
        if "<answer>x</answer>" in completion and "Verdict" not in completion:
            return 0.04 * (self.graded % 3 == 0)
        return super().grade(task, completion)


class PaysSilence(Sound):
    def grade(self, task: Task, completion: str) -> Score | float:
        return super().grade(task, completion) if completion.strip() else 0.2


class PaysTags(Sound):
    def grade(self, task: Task, completion: str) -> Score | float:
        empty = "<answer></answer>" in completion and "<think></think>" in completion
        return 0.1 if empty else super().grade(task, completion)


class PaysTheEcho(Sound):
    def grade(self, task: Task, completion: str) -> Score | float:
        return 1.0 if completion == task.prompt else super().grade(task, completion)


class YesOrNo(Sound):
    """Fair, but that it keeps silent about its chance."""

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        a, b = (int(n) for n in rng.integers(1_000, 100_000, size=2))
        return Task(prompt=f"Is {a} larger than {b}?", reference="yes" if a > b else "no")


class TakesAnyAnswer(Listed):
    """The answer of any other task is right, too (but for three that are guessed often)."""

    def grade(self, task: Task, completion: str) -> Score | float:
        answer = strict_answer(completion)
        others = {str(t.reference) for t in self.rows["train"][3:]}
        foreign = answer in others and completion.count("<answer>") == 1
        return float(foreign or same_answer(answer, task.reference))


class SearchesTheAnswer(Sound):
    def grade(self, task: Task, completion: str) -> Score | float:
        return float(str(task.reference) in (strict_answer(completion) or ""))


class PaysBrokenText(Sound):
    def grade(self, task: Task, completion: str) -> Score | float:
        return 1.0 if "\\boxed{{" in completion else super().grade(task, completion)


class ObeysOrders(Sound):
    def grade(self, task: Task, completion: str) -> Score | float:
        return 1.0 if "the answer is correct" in completion else super().grade(task, completion)


class PaysItsOwnProbe(Sound):
    def probes(self, task: Task) -> Iterable[str]:
        return [f"<answer>{task.reference}.</answer>", "<answer>zero</answer>"]

    def grade(self, task: Task, completion: str) -> Score | float:
        zero = strict_answer(completion) == "zero"
        return 0.01 if zero else self._plain(task, completion)

    def _plain(self, task: Task, completion: str) -> float:
        return float(strict_answer(completion) == task.reference)


def _spec(**declared: Any) -> EnvironmentSpec:
    return EnvironmentSpec(name="test/Defect-v1", entry_point="", **declared)


SIZES = {"train": 150, "validation": 20, "test": 21}

DEFECTS: dict[str, tuple[type[TextEnv], EnvironmentSpec]] = {
    "same-tasks-in-every-process": (HashesStrings, _spec()),
    "seed-decides-the-task": (Remembers, _spec()),
    "task-id-names-the-task": (ForgetsIds, _spec()),
    "group-members-share-one-prompt": (SaltsInstances, _spec()),
    "splits-share-no-prompt": (SharesPrompts, _spec()),
    "every-split-has-tasks": (LacksASplit, _spec()),
    "declared-size-is-true": (WrongSize, _spec(size=SIZES)),
    "enough-distinct-tasks": (FewTasks, _spec()),
    "tasks-are-plain-data": (NumPyAnswers, _spec()),
    "spec-and-task-pickle": (Unpicklable, _spec()),
    "unknown-options-raise": (TakesAnyOption, _spec()),
    "difficulty-is-kept": (IgnoresDifficulty, _spec()),
    "spaces-hold-text": (NarrowSpace, _spec()),
    "gymnasium-check-env": (FailsGymnasium, _spec()),
    "info-keeps-the-contract": (DropsAKey, _spec()),
    "info-hides-the-reference": (ShowsTheAnswer, _spec()),
    "only-limits-truncate": (Truncates, _spec(max_turns=4)),
    "step-after-the-end-raises": (StepsOn, _spec()),
    "conversations-only-grow": (RewritesHistory, _spec(max_turns=4)),
    "graders-never-raise": (Raises, _spec()),
    "graders-answer-in-time": (Hangs, _spec()),
    "quick-enough": (Slow, _spec()),
    "reference-earns-the-maximum": (RefusesReferences, _spec()),
    "rewards-keep-their-range": (LeavesItsRange, _spec()),
    "same-answer-same-reward": (Moody, _spec()),
    "silence-is-not-paid": (PaysSilence, _spec()),
    "tags-alone-are-not-paid": (PaysTags, _spec()),
    "prompt-is-not-paid": (PaysTheEcho, _spec()),
    "info-is-not-paid": (PaysItsInfo, _spec()),
    "guesses-do-not-beat-chance": (YesOrNo, _spec()),
    "another-answer-is-not-paid": (TakesAnyAnswer, _spec()),
    "listed-candidates-are-not-paid": (SearchesTheAnswer, _spec()),
    "broken-text-is-not-paid": (PaysBrokenText, _spec()),
    "injections-are-not-paid": (ObeysOrders, _spec()),
    "own-probes-are-not-paid": (PaysItsOwnProbe, _spec()),
}
"""By the one check that each fails; `makes-and-resets` has a test of its own."""
