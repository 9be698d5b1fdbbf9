"""What the puzzles of several turns share: moves are carried out, all of an answer or none."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from palestra.envs import MultiTurnEnv, Task, Turn, verdict
from palestra.envs.answers import lenient_answer, strict_answer
from palestra_logic.puzzle import answered, bounded, is_hedged, worked

State = TypeVar("State", bound=Hashable)
Move = TypeVar("Move")

_SAY = {
    "en": {
        "none": "No moves were found: give them in one <answer>…</answer>.",
        "illegal": "Move {i} is not possible, so none of these moves was made.",
        "left": "You have {n} moves left, so none of these moves was made.",
        "now": "{n} moves made. {state} Moves left: {left}.",
        "solved": "Solved.",
    },
    "zh": {
        "none": "没有找到走法：请写在一个<answer>…</answer>里。",
        "illegal": "第{i}步不可行，所以这些步都没有执行。",
        "left": "只剩{n}步，所以这些步都没有执行。",
        "now": "走了{n}步。{state}剩余步数：{left}。",
        "solved": "完成了。",
    },
}


class MovesEnv(MultiTurnEnv, Generic[State, Move]):
    """A start, a goal, and moves between; each turn the policy gives one move or more.

    The moves of an answer are made only if all are possible, and the puzzle is solved when the
    goal holds after the last of them: a list of plans is neither. A turn that fails is answered by
    what is wrong with it, so a plan can be mended until turns or moves run out.
    """

    max_turns = 8

    def __init__(self) -> None:
        super().__init__()
        self._state: State | None = None
        self._left = 0

    # -- what a puzzle says of itself -----------------------------------------------------------

    def start(self, task: Task) -> State:
        """Return the first state."""
        raise NotImplementedError

    def allowance(self, task: Task) -> int:
        """Return how many moves may be made in all."""
        raise NotImplementedError

    def read(self, answer: str) -> list[Move] | None:
        """Read all moves of an answer; None where anything in it is no move."""
        raise NotImplementedError

    def after(self, task: Task, state: State, move: Move) -> State | None:
        """Return the state after a move; None where it is not possible."""
        raise NotImplementedError

    def is_goal(self, task: Task, state: State) -> bool:
        """Whether a state is the goal."""
        raise NotImplementedError

    def shown(self, task: Task, state: State) -> str:
        """Describe a state in the task's language."""
        raise NotImplementedError

    def reasons(self, task: Task) -> list[str]:
        """Return the lines of a short argument for the reference, in the task's language."""
        raise NotImplementedError

    # -- the conversation -----------------------------------------------------------------------

    def begin(self, task: Task) -> str:
        self._state, self._left = self.start(task), self.allowance(task)
        return super().begin(task)

    def respond(self, task: Task, action: str) -> Turn:
        assert self._state is not None
        say = _SAY[task.language or "en"]
        strict = None if is_hedged(action) else bounded(strict_answer(action))
        moves = None if strict is None else self.read(strict)
        if not moves:
            return self._unsolved(task, action, strict, say["none"])
        if len(moves) > self._left:
            return self._unsolved(task, action, strict, say["left"].format(n=self._left))
        state = self._state
        for i, move in enumerate(moves, start=1):
            following = self.after(task, state, move)
            if following is None:
                return self._unsolved(task, action, strict, say["illegal"].format(i=i))
            state = following
        if self.is_goal(task, state):
            score = verdict(strict, correct=True, lenient=True)
            return Turn(observation=say["solved"], score=score, done=True)
        self._state, self._left = state, self._left - len(moves)
        told = say["now"].format(n=len(moves), state=self.shown(task, state), left=self._left)
        return self._unsolved(task, action, strict, told)

    def _unsolved(self, task: Task, action: str, strict: str | None, told: str) -> Turn:
        """Answer a turn that did not solve the puzzle; the conversation ends where no move is left.

        A turn on the way earns nothing yet; only the last one says what the tags cost.
        """
        done = self._left == 0
        last = done or self._turns_taken >= self.max_turns
        score = None
        if last:
            lenient = self._would_solve(task, action)
            score = verdict(strict, correct=False, lenient=lenient)
        return Turn(observation="" if done else told, score=score, done=done)

    def _would_solve(self, task: Task, action: str) -> bool:
        """Whether the answer, read leniently, solves the puzzle from its start."""
        answer = None if is_hedged(action) else bounded(lenient_answer(action))
        moves = None if answer is None else self.read(answer)
        return bool(moves) and self.solves(task, moves or [])

    def solves(self, task: Task, moves: list[Move]) -> bool:
        """Whether a plan, made from the start, is possible and ends at the goal."""
        state = self.start(task)
        for move in moves[: self.allowance(task) + 1]:
            following = self.after(task, state, move)
            if following is None:
                return False
            state = following
        return len(moves) <= self.allowance(task) and self.is_goal(task, state)

    # -- its own answers and cheats -------------------------------------------------------------

    def reference_completion(self, task: Task) -> str:
        return worked(self.reasons(task), str(task.reference))

    def probes(self, task: Task) -> Iterable[str]:
        """Yield a plan in the thoughts, and two plans in one."""
        reference = str(task.reference)
        yield f"<think>\n<answer>{reference}</answer>\n</think>"
        yield answered(f"{reference}\n{reference}\n{reference}")
        yield f"{answered(reference)}\n<answer>{reference[:1]}</answer>"
        yield answered(f"{reference} or not")
