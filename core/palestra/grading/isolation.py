"""Environments in processes of their own: a hang, a crash, or an `os._exit` stays there.

`IsolatedEnv` behaves as the environment it stands for. What differs is what cannot be helped: a
grader that does not answer in time is killed, and its episode ends with the status ``timeout``; one
that takes its process down ends with ``error``. Neither is a wrong answer. The worker is replaced,
and the other episodes that it held are played again up to where they were.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, cast

from palestra.envs.env import Info, TextEnv
from palestra.envs.score import Score, Status
from palestra.envs.task import Message, Task
from palestra.envs.together import Together, is_pending, score_info
from palestra.errors import ConfigError, EnvironmentFailed, PalestraError
from palestra.grading.pool import Lost, Pool, Stale
from palestra.grading.worker import as_task
from palestra.plugins.registry import Kind, Registry
from palestra.plugins.specs import EnvironmentSpec
from palestra.splits import Split

RESET_TIMEOUT_S = 60.0
"""Seconds that a reset may take."""

_REPLAYS = 10


class IsolatedEnv(TextEnv):
    """An environment whose code runs in a worker process.

    Args:
        pool: the processes, shared by the episodes of one environment.
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self._worker, self._episode = pool.place()
        facts = self._worker.facts
        low, high = facts["difficulties"]
        self.env_id = pool.env_id
        self.difficulties = (int(low), int(high))
        self.max_turns = int(facts["max_turns"])
        self.step_timeout_s = float(facts["step_timeout_s"])
        self._together: Together = facts["together"]
        self._generation = -1
        self._start: dict[str, Any] | None = None
        self._actions: list[str] = []
        self._last: Info = {}
        weakref.finalize(self, self._worker.forget, self._episode)

    def __copy__(self) -> IsolatedEnv:
        """Return an environment for another episode, of the same workers."""
        return IsolatedEnv(self._pool)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, Info]:
        """Begin an episode; as `TextEnv.reset`.

        Raises:
            ConfigError: an unknown option, or a value out of range.
            EnvironmentFailed: it raised, hung, or took its process down.
        """
        given = options or {}
        if seed is None and "index" not in given and "task_id" not in given:
            seed = int(self.np_random.integers(0, 2**63 - 1))  # so that it can be played again
        self._start = {"seed": seed, "options": given}
        self._actions = []
        answer = self._reset()
        self.task = as_task(answer["task"])
        self._last = answer["info"]
        return str(answer["observation"]), dict(self._last)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Take the policy's whole turn; as `TextEnv.step`, and never raises for a grader."""
        if self.task is None or self._start is None:
            return super().step(action)  # which says what is wrong
        try:
            answer = self._ask("step", self.step_timeout_s, action=action)
        except Lost as lost:
            return self._failed(action, lost.status, str(lost))
        self._actions.append(action)
        self._last = answer["info"]
        if answer["terminated"] or answer["truncated"]:
            self.task = None
        return (
            str(answer["observation"]),
            float(answer["reward"]),
            bool(answer["terminated"]),
            bool(answer["truncated"]),
            dict(self._last),
        )

    @property
    def together(self) -> Together:
        """As the environment in the worker has it."""
        return self._together

    def settle(self, others: Sequence[TextEnv] = ()) -> list[tuple[float, Info]]:
        """As `TextEnv.settle`; never raises for a grader.

        The grader sees the completions in one worker, and has `step_timeout_s` for all of them.
        """
        held = [self, *cast("Sequence[IsolatedEnv]", others)]
        if not all(is_pending(env._last) for env in held):
            raise ConfigError(f"{self.env_id}: settle() where no step left a grading pending")
        episodes = [{**(env._start or {}), "action": env._actions[-1]} for env in held]
        try:
            message = {"op": "settle", "episodes": episodes}
            answer = self._worker.call(message, self.step_timeout_s)
        except Lost as lost:
            return self._unsettled(held, lost.status, str(lost))
        except PalestraError as exc:  # a reset that went through once does not any more
            return self._unsettled(held, Status.ERROR, str(exc))
        return [(float(reward), dict(info)) for reward, info in answer["settled"]]

    def _unsettled(
        self, held: Sequence[IsolatedEnv], status: Status, reason: str
    ) -> list[tuple[float, Info]]:
        score = Score.failed(f"{self.env_id}: grade_{self.together}: {reason}", status)
        return [(0.0, env._last | score_info(score)) for env in held]

    def reference_completion(self, task: Task) -> str | None:
        """Return a completion that earns the maximum, of the task that was reset to last."""
        if self.task is None or task.id != self.task.id:
            raise EnvironmentFailed(f"{self.env_id}: reset to the task before its reference")
        try:
            return self._ask("reference", RESET_TIMEOUT_S)["completion"]
        except Lost as lost:
            raise EnvironmentFailed(f"{self.env_id}: reference_completion: {lost}") from lost

    def count(self, split: Split, language: str | None = None) -> int | None:
        """Return the number of tasks of a split, or None where they are sampled."""
        try:
            asked = {"op": "count", "split": split, "language": language}
            return self._worker.call(asked, RESET_TIMEOUT_S)["count"]
        except Lost as lost:
            raise EnvironmentFailed(f"{self.env_id}: tasks of split '{split}': {lost}") from lost

    def _ask(self, op: str, timeout_s: float, **fields: object) -> dict[str, Any]:
        """Ask about the episode; where its worker was replaced, play it again first."""
        for _ in range(_REPLAYS):
            try:
                if self._generation != self._worker.generation:
                    self._replay()
                return self._call(op, timeout_s, **fields)
            except Stale:  # another episode took the worker down meanwhile
                continue
        raise Lost("its process was lost again and again", Status.ERROR)

    def _replay(self) -> None:
        """Bring the episode back to where it was when its worker was lost."""
        if not self._pool.deterministic:
            raise Lost("its process was lost, and it cannot be played again", Status.ERROR)
        self._reset()
        for action in self._actions:
            self._call("step", self.step_timeout_s, action=action)

    def _reset(self) -> dict[str, Any]:
        assert self._start is not None
        message = {"op": "reset", "episode": self._episode, **self._start}
        try:
            answer = self._worker.call(message, RESET_TIMEOUT_S)
        except Lost as lost:
            raise EnvironmentFailed(f"{self.env_id}: reset: {lost}") from lost
        self._generation = answer["generation"]
        return answer

    def _call(self, op: str, timeout_s: float, **fields: object) -> dict[str, Any]:
        message = {"op": op, "episode": self._episode, **fields}
        return self._worker.call(message, timeout_s, self._generation)

    def _failed(
        self, action: str, status: Status, reason: str
    ) -> tuple[str, float, bool, bool, Info]:
        assert self.task is not None
        what = f"{self.env_id}: grade of task {self.task.id}: {reason}"
        self.task = None
        said: list[Message] = [*self._last["messages"], {"role": "assistant", "content": action}]
        info = self._last | {
            "messages": said,
            "stop_reason": "terminated",
            "reward_components": {},
            "reward_steps": [],
            "reward_status": str(status),
            "reward_valid": False,
            "extracted_answer": None,
            "reason": what,
        }
        return "", 0.0, True, False, info


_pools: dict[tuple[object, ...], Pool] = {}
_pools_lock = threading.Lock()


def open_env(registry: Registry, env_id: str, kwargs: Mapping[str, object]) -> TextEnv:
    """Make an environment, in a worker where its plugin's spec asks for ``isolation: process``.

    Episodes of one environment with the same arguments share workers, which live as long as this
    process.

    Raises:
        PalestraError: as `Registry.make_env`.
    """
    spec = cast("EnvironmentSpec", registry.find(Kind.ENVIRONMENT, env_id).spec)
    if spec.isolation != "process":
        return registry.make_env(env_id, **kwargs)
    try:
        arguments = json.dumps(kwargs, sort_keys=True)
    except TypeError as exc:
        raise ConfigError(
            f"{env_id}: the arguments of an environment are plain data: {exc}"
        ) from exc
    files = [str(path) for path in registry.local_files]
    key = (env_id, arguments, tuple((f, _stamp(f)) for f in files), os.getpid())
    with _pools_lock:
        if key not in _pools:
            _pools[key] = Pool(env_id, kwargs, files, spec.deterministic)
        return IsolatedEnv(_pools[key])


def _stamp(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


@atexit.register
def close_workers() -> None:
    """End every worker of this process."""
    with _pools_lock:
        for pool in _pools.values():
            pool.close()
        _pools.clear()
