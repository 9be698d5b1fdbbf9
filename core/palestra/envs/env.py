"""Text environments: `TextEnv`, `SingleTurnEnv`, `MultiTurnEnv` and `@single_turn`.

They are real `gymnasium.Env`s whose observations and actions are strings. An author writes where
tasks come from (`sample`, or `tasks`) and how an answer is judged (`grade`, or `respond`); seeds,
splits, ids, truncation and the five-tuple are the framework's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import gymnasium
import numpy as np

from palestra.envs.answers import lenient_answer, same_answer, strict_answer
from palestra.envs.drawn import LastDrawn
from palestra.envs.score import Score, Status
from palestra.envs.spaces import TextSpace
from palestra.envs.task import Message, Task, checked_task
from palestra.envs.together import Together, as_score, graded, pending, score_info
from palestra.errors import ConfigError, EnvironmentFailed, GraderFailed, boundary, did_you_mean
from palestra.seeding import rng as named_rng
from palestra.splits import SPLITS, Split, split_of

MAX_REDRAWS = 1_000
_OPTIONS = ("split", "index", "task_id", "difficulty", "language")
_TASK_ID = re.compile(r"(train|validation|test)/([is])(\d+)(?:@(\d+)(?:-(\d+))?)?(?:\.([\w-]+))?")

Info = dict[str, Any]
Difficulty = int | tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a multi-turn environment answers to an action.

    Attributes:
        observation: the next message for the policy (may be empty when `done`).
        score: this turn's score, if it has one.
        done: whether the conversation is over.
        truncated: whether a limit of the environment's own cut it off; `done` goes before it.
        role: who speaks: a ``user``, or a ``tool`` whose output it is.
    """

    observation: str = ""
    score: Score | None = None
    done: bool = False
    truncated: bool = False
    role: Literal["user", "tool"] = "user"


class TextEnv(gymnasium.Env[str, str]):
    """A Gymnasium environment over text: the part that all levels of authoring share.

    Override `sample` (tasks drawn for ever) or `tasks` (a finite list for each split). `reset`
    with `seed`, `index` or `task_id` is a pure function of its arguments; without one it draws
    from `self.np_random`, as Gymnasium says.
    """

    env_id: str = ""
    difficulties: tuple[int, int] = (1, 1)
    max_turns: int = 1
    step_timeout_s: float = 30.0  # an environment in a worker process is killed after it
    reward_range: tuple[float, float] | None = None  # its spec's, set where it is made by its id
    default_split: Split = "train"  # the first that its spec declares, set there too
    last_drawn: LastDrawn | None = None  # where draws are dear: a group gets the task of one

    def __init__(self) -> None:
        self.metadata = {"render_modes": []}
        self.observation_space = TextSpace()
        self.action_space = TextSpace()
        self.task: Task | None = None
        self._messages: list[Message] = []
        self._turns_taken = 0
        self._split: Split = "train"
        self._pending: tuple[Task, str, Info] | None = None

    # -- what authors write ---------------------------------------------------------------------

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw one task; use `rng` for every choice. Its split is the framework's business."""
        raise NotImplementedError(f"{type(self).__name__} must define sample() or tasks()")

    def tasks(self, split: Split) -> Sequence[Task] | None:
        """Return the finite list of tasks of `split`, or None where tasks are sampled."""
        return None

    def count(self, split: Split, language: str | None = None) -> int | None:
        """Return the number of tasks of `split`, or None where they are sampled."""
        listed = self.tasks(split)
        if listed is None:
            return None
        return sum(language in (None, task.language) for task in listed)

    def probes(self, task: Task) -> Iterable[str]:
        """Return cheats of the author's own: completions that must earn nothing."""
        return ()

    def reference_completion(self, task: Task) -> str | None:
        """Return a completion that earns the maximum, for self-tests and cold starts."""
        if task.reference is None:
            return None
        return f"<think>\n{task.reference}\n</think>\n<answer>{task.reference}</answer>"

    @property
    def together(self) -> Together:
        """What its grader wants to see at once; where it is not ``alone``, steps end pending."""
        return "alone"

    # -- Gymnasium ------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, Info]:
        """Begin an episode.

        Args:
            seed: decides the task, unless `options` names one.
            options: any of ``split`` (the first that its spec
                declares, else train), ``index``, ``task_id``, ``difficulty`` (a level or a
                ``(low, high)`` range) and ``language``; ``task_id`` goes before ``index``, and
                ``index`` before `seed`.

        Raises:
            ConfigError: an unknown option, or a value out of range.
            EnvironmentFailed: `sample` raised, or no task fits the split.
        """
        super().reset(seed=seed)
        chosen = self._options(options or {})
        if seed is None and "index" not in chosen and "task_id" not in chosen:
            seed = int(self.np_random.integers(0, 2**63 - 1))
        with boundary(EnvironmentFailed, f"{self.env_id or type(self).__name__}: reset"):
            self.task = self._find_task(seed, chosen)
            self._turns_taken, self._pending = 0, None
            first = self._begin(self.task)
        self._messages = list(self.task.messages)
        if first != self._messages[-1]["content"]:  # begin() said it in its own words
            self._messages[-1] = {**self._messages[-1], "content": first}
        return first, self._info(stop_reason=None)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Take the policy's whole turn, and answer as Gymnasium does."""
        if self.task is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        if action not in self.action_space:
            raise ConfigError(f"not an action of {self.action_space}: {type(action).__name__}")
        self._turns_taken += 1
        turn = self._judge(self.task, action)
        self._messages.append({"role": "assistant", "content": action})
        if turn.observation:
            self._messages.append({"role": turn.role, "content": turn.observation})
        truncated = not turn.done and (turn.truncated or self._turns_taken >= self.max_turns)
        ended = "terminated" if turn.done else "truncated" if truncated else None
        info = self._info(stop_reason=ended)
        score = turn.score or Score(value=0.0)
        info |= score_info(score)
        if turn.score is None:
            info["reward_components"] = {}
        if score.status is Status.PENDING:
            self._pending = (self.task, action, info)
        if turn.done or truncated:
            self.task = None
        reward = float(score.value) if score.status.is_valid else 0.0
        return turn.observation, reward, turn.done, truncated, info

    def settle(self, others: Sequence[TextEnv] = ()) -> list[tuple[float, Info]]:
        """Grade at once what the last steps of this episode and of `others` left ``pending``.

        Args:
            others: environments of the same id and arguments; where `together` is ``group``, of
                the same task.

        Returns:
            Reward and `info` of each, this one's first, as `step` would have given them.

        Raises:
            ConfigError: one of them has nothing pending, or a group holds several tasks.
        """
        left = [env._pending for env in (self, *others)]
        open_ = [entry for entry in left if entry is not None]
        if len(open_) < len(left):
            raise ConfigError(f"{self.env_id}: settle() where no step left a grading pending")
        tasks = [task for task, _, _ in open_]
        if self.together == "group" and len({task.prompt_hash for task in tasks}) > 1:
            raise ConfigError(f"{self.env_id}: a group is of one task; settle one at a time")
        scores = self._settled(tasks, [action for _, action, _ in open_])
        return [
            (float(score.value) if score.status.is_valid else 0.0, info | score_info(score))
            for score, (_, _, info) in zip(scores, open_, strict=True)
        ]

    def _settled(self, tasks: Sequence[Task], completions: Sequence[str]) -> list[Score]:
        raise NotImplementedError

    # -- what the levels differ in --------------------------------------------------------------

    def _begin(self, task: Task) -> str:
        return task.messages[-1]["content"]

    def _respond(self, task: Task, action: str) -> Turn:
        raise NotImplementedError

    # -- the framework's part -------------------------------------------------------------------

    def _judge(self, task: Task, action: str) -> Turn:
        """Run the author's grader; what it raises becomes an invalid score, not a wrong answer."""
        what = f"{self.env_id or type(self).__name__}: grade of task {task.id}"
        try:
            with boundary(GraderFailed, what):
                turn = self._respond(task, action)
                if turn.score is not None and self.reward_range is not None:
                    _check_range(turn.score, self.reward_range)
                return turn
        except GraderFailed as exc:
            late = isinstance(exc.__cause__, TimeoutError)
            status = Status.TIMEOUT if late else Status.ERROR
            return Turn(score=Score.failed(str(exc), status), done=True)

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        for name in options:
            if name not in _OPTIONS:
                raise ConfigError(
                    f"unknown option '{name}' of reset.{did_you_mean(name, _OPTIONS)} "
                    f"Options: {', '.join(_OPTIONS)}"
                )
        split = options.get("split", self.default_split)
        if split not in SPLITS:
            raise ConfigError(f"no split '{split}'.{did_you_mean(str(split), SPLITS)}")
        if "index" in options and not _is_count(options["index"]):
            raise ConfigError(f"option 'index' counts from 0, so not {options['index']!r}")
        if not isinstance(options.get("task_id", ""), str):
            raise ConfigError(f"option 'task_id' is text, not {options['task_id']!r}")
        return options

    def _find_task(self, seed: int | None, options: dict[str, Any]) -> Task:
        split: Split = options.get("split", self.default_split)
        difficulty = options.get("difficulty", self.difficulties)
        language = options.get("language")
        stream, number = ("i", options["index"]) if "index" in options else ("s", seed)
        if "task_id" in options:
            match = _TASK_ID.fullmatch(options["task_id"])
            if match is None:
                return self._listed_by_id(split, options["task_id"])
            split = cast("Split", match[1])
            stream, number, language = match[2], int(match[3]), match[6]
            if match[4] is not None:
                difficulty = (int(match[4]), int(match[5] or match[4]))
        self._split = split
        listed = self.tasks(split)
        if listed is not None:
            return self._listed(listed, split, stream, int(number or 0), language)
        return self._sampled(split, stream, int(number or 0), self._levels(difficulty), language)

    def _levels(self, difficulty: Difficulty | Sequence[int]) -> tuple[int, int]:
        pair = (difficulty, difficulty) if _is_count(difficulty) else difficulty
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(map(_is_count, pair)):
            raise ConfigError(f"option 'difficulty' is a level or two, not {difficulty!r}")
        low, high = (int(level) for level in cast("Sequence[int]", pair))
        first, last = self.difficulties
        if not first <= low <= high <= last:
            raise ConfigError(
                f"{self.env_id or type(self).__name__} has difficulty {first} to {last}, "
                f"not {low} to {high}"
            )
        return low, high

    def _sampled(
        self, split: Split, stream: str, number: int, levels: tuple[int, int], language: str | None
    ) -> Task:
        """Redraw until the prompt falls in `split`, and the language is the one asked for."""
        key = (split, stream, number, levels, language)
        if self.last_drawn is not None and (kept := self.last_drawn.get(key)) is not None:
            return kept
        generator = named_rng(number, self.env_id, stream)
        for _ in range(MAX_REDRAWS):
            level = int(generator.integers(levels[0], levels[1] + 1))
            task = checked_task(self.sample(generator, level), "sample()")
            if split_of(task.prompt_hash) == split and language in (None, task.language):
                low, high = levels
                id_ = f"{split}/{stream}{number}@{low}" + (f"-{high}" if high != low else "")
                id_ += f".{language}" if language else ""
                task = replace(task, id=id_, metadata={"difficulty": level, **task.metadata})
                if self.last_drawn is not None:
                    self.last_drawn.keep(key, task)
                return task
        raise EnvironmentFailed(
            f"{self.env_id or type(self).__name__}: {MAX_REDRAWS} draws gave no task of split "
            f"'{split}'" + (f" in language '{language}'" if language else "") + ". "
            "sample() must draw from a larger set"
        )

    def _listed(
        self, listed: Sequence[Task], split: Split, stream: str, number: int, language: str | None
    ) -> Task:
        if language is not None:
            listed = [t for t in listed if t.language == language]
        if not listed:
            raise EnvironmentFailed(f"{self.env_id}: split '{split}' holds no task")
        if stream == "i" and number >= len(listed):
            raise ConfigError(f"{self.env_id}: index {number} of split '{split}' of {len(listed)}")
        index = (
            number
            if stream == "i"
            else int(named_rng(number, self.env_id, split).integers(len(listed)))
        )
        task = checked_task(listed[index], f"task {index} of split '{split}'")
        suffix = f".{language}" if language else ""  # the index is one among its language's
        return task if task.id else replace(task, id=f"{split}/i{index}{suffix}")

    def _listed_by_id(self, asked: Split, task_id: str) -> Task:
        others: list[Split] = [s for s in SPLITS if s != asked]
        for split in (asked, *others):
            for task in self.tasks(split) or ():
                if task.id == task_id:
                    self._split = split
                    return task
        raise ConfigError(f"{self.env_id or type(self).__name__}: no task '{task_id}'")

    def _info(self, stop_reason: str | None) -> Info:
        assert self.task is not None
        return {
            "task_id": self.task.id,
            "split": self._split,
            "prompt_hash": self.task.prompt_hash,
            "messages": [dict(m) for m in self._messages or self.task.messages],
            "language": self.task.language,
            "difficulty": self.task.metadata.get("difficulty"),
            "stop_reason": stop_reason,
        }


def _check_range(score: Score, reward_range: tuple[float, float]) -> None:
    low, high = reward_range
    if score.status.is_valid and not low - 1e-9 <= score.value <= high + 1e-9:
        raise ValueError(
            f"the score {score.value:g} is outside the reward_range [{low:g}, {high:g}] "
            "that its spec declares"
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0


class SingleTurnEnv(TextEnv):
    """One question, one answer, one score. Ends terminated, never truncated.

    Example:
        >>> class Add(SingleTurnEnv):
        ...     def sample(self, rng, difficulty):
        ...         a, b = rng.integers(10**difficulty, size=2)
        ...         return Task(prompt=f"What is {a} + {b}?", reference=str(a + b))
    """

    def grade(self, task: Task, completion: str) -> Score | float:
        """Judge a whole completion (prefill included). A float is the component ``accuracy``.

        The default compares the answer in ``<answer>…</answer>`` with the reference, as a number
        or as text, and reports ``lenient_accuracy`` for the last answer anywhere.
        """
        strict = strict_answer(completion)
        lenient = same_answer(lenient_answer(completion), task.reference)
        return verdict(strict, correct=same_answer(strict, task.reference), lenient=lenient)

    def _respond(self, task: Task, action: str) -> Turn:
        if self.together != "alone":
            return Turn(score=pending(), done=True)
        return Turn(score=as_score(self.grade(task, action)), done=True)

    def grade_group(self, task: Task, completions: Sequence[str]) -> Sequence[Score | float]:
        """Judge all completions of one task together; define it in the place of `grade`.

        A group may hold one completion: `palestra envs check` and evaluations grade alone.

        Returns:
            A score, or a number, for each completion, in order.
        """
        raise NotImplementedError(f"{type(self).__name__} has no grade_group()")

    def grade_batch(
        self, tasks: Sequence[Task], completions: Sequence[str]
    ) -> Sequence[Score | float]:
        """Judge completions of any tasks at once; define it in the place of `grade`.

        For graders that are cheaper by the batch. How many come together must not matter.

        Returns:
            A score, or a number, for each completion, in order.
        """
        raise NotImplementedError(f"{type(self).__name__} has no grade_batch()")

    @property
    def together(self) -> Together:
        """``group`` or ``batch`` where `grade_group` or `grade_batch` is defined."""
        own = type(self)
        if own.grade_group is not SingleTurnEnv.grade_group:
            return "group"
        return "alone" if own.grade_batch is SingleTurnEnv.grade_batch else "batch"

    def _settled(self, tasks: Sequence[Task], completions: Sequence[str]) -> list[Score]:
        what = f"{self.env_id or type(self).__name__}: grade_{self.together}"
        if self.together == "group":
            what += f" of task {tasks[0].id}"
            scores = graded(lambda: self.grade_group(tasks[0], completions), tasks, what)
        else:
            scores = graded(lambda: self.grade_batch(tasks, completions), tasks, what)
        return [self._in_range(score, what) for score in scores]

    def _in_range(self, score: Score, what: str) -> Score:
        try:
            if self.reward_range is not None:
                _check_range(score, self.reward_range)
        except ValueError as exc:
            return Score.failed(f"{what}: {exc}")
        return score


def verdict(extracted: str | None, *, correct: bool, lenient: bool) -> Score:
    """Return the `Score` of a verifiable answer: `correct` inside the tags, `lenient` anywhere.

    ``lenient_accuracy`` is a measure (no recipe should train on it): it keeps learning the tags
    apart from learning to reason.
    """
    return Score(
        value=float(correct),
        components={"accuracy": float(correct), "lenient_accuracy": float(lenient)},
        status=Status.UNPARSABLE if extracted is None else Status.OK,
        reason="no <answer>…</answer> behind the thoughts" if extracted is None else "",
        extracted=extracted,
    )


class MultiTurnEnv(TextEnv):
    """A conversation: `begin` opens it, `respond` answers each action until `done`."""

    max_turns = 8

    def begin(self, task: Task) -> str:
        """Return the first observation; by default the task's prompt."""
        return task.messages[-1]["content"]

    def respond(self, task: Task, action: str) -> Turn:
        """Answer the policy's turn."""
        raise NotImplementedError(f"{type(self).__name__} must define respond()")

    def _begin(self, task: Task) -> str:
        return self.begin(task)

    def _respond(self, task: Task, action: str) -> Turn:
        return self.respond(task, action)


Sampler = Callable[[np.random.Generator, int], Task]
Grader = Callable[[Task, str], Score | float]


def single_turn(
    env_id: str, *, difficulties: tuple[int, int] = (1, 1), grade: Grader | None = None
) -> Callable[[Sampler], type[SingleTurnEnv]]:
    """Make an environment of a function ``(rng, difficulty) -> Task``.

    Args:
        env_id: ``namespace/Name-vN``.
        difficulties: the lowest and the highest level.
        grade: judges a completion; by default the answer in the tags against the reference.

    Example:
        >>> @single_turn("acme/Add-v1")
        ... def add(rng, difficulty):
        ...     a, b = rng.integers(100, size=2)
        ...     return Task(prompt=f"What is {a} + {b}?", reference=str(a + b))
    """

    def decorate(function: Sampler) -> type[SingleTurnEnv]:
        def sample(self: SingleTurnEnv, rng: np.random.Generator, difficulty: int) -> Task:
            return function(rng, difficulty)

        body: dict[str, Any] = {
            "sample": sample,
            "env_id": env_id,
            "difficulties": difficulties,
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
        }
        if grade is not None:
            judge = grade
            body["grade"] = lambda self, task, completion: judge(task, completion)
        return type(function.__name__, (SingleTurnEnv,), body)

    return decorate
