"""What the math environments share: the answer in the tags, graded by `palestra_math.grade`."""

from __future__ import annotations

from collections.abc import Iterable

from palestra.envs import Score, SingleTurnEnv, Task
from palestra_math.extract import DEFAULT_FORMS, Form
from palestra_math.grader import grade

_LENIENT: tuple[tuple[Form, ...], ...] = (DEFAULT_FORMS, ("last_number",))


class AnswerEnv(SingleTurnEnv):
    """Questions with one right answer. ``accuracy`` asks for it in ``<answer>``; the measure
    ``lenient_accuracy`` takes it in any form, the last number included."""

    def grade(self, task: Task, completion: str) -> Score:
        reference, question = str(task.reference), task.messages[-1]["content"]
        strict = grade(reference, completion, forms=("tags",), question=question)
        if not strict.status.is_valid:
            return strict
        lenient = max(
            strict.value, *(grade(reference, completion, forms=f).value for f in _LENIENT)
        )
        return Score(
            value=strict.value,
            components={"accuracy": strict.value, "lenient_accuracy": lenient},
            status=strict.status,
            reason=strict.reason,
            extracted=strict.extracted,
        )

    def probes(self, task: Task) -> Iterable[str]:
        """Return hedges, chains, retractions and evaluator bait around the right answer."""
        right = str(task.reference)
        yield f"<think>{right}</think>"
        yield f"<think><answer>{right}</answer></think>"
        for text in (
            f"{right} or {right}1",
            f"0, {right}",
            f"0 = {right}",
            f"x = 0 = {right}",
            f"not {right}",
            f"{right} is wrong",
            f"{right}+1",
            f"__import__('os').system('true') or {right}",
            "10^{10^{10}}",
            "\\boxed{" * 200 + right,
        ):
            yield f"<answer>{text}</answer>"
        yield f"<answer>{right}</answer> No. <answer>{right}1</answer>"
