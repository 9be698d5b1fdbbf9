"""`general/JSON-v1`: the facts of a text as JSON that keeps to a given JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from palestra.envs import Score, SingleTurnEnv, Status, Task
from palestra.envs.answers import strict_answer
from palestra.terminal import one_line
from palestra_general.names import person, place

LONGEST = 20_000
_KINDS = ("parcel", "booking", "order")
_STATES = ("new", "paid", "sent")
_GOODS = ("bolts", "books", "bulbs", "chairs", "cups", "lamps", "pens", "plates")
Field = tuple[str, dict[str, Any], Any, str]
"""Name, schema, value, and the words that give it."""


class JSONEnv(SingleTurnEnv):
    """Three fields (level 1) to eight nested ones (level 4), told in words.

    ``accuracy`` wants the schema kept and every fact right; ``valid_json`` and ``valid_schema`` say
    how far an answer came.
    """

    difficulties = (1, 4)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw a record, its schema, and the text that tells it."""
        fields = _fields(rng)
        required = fields[:3]
        others = [fields[3 + int(i)] for i in rng.permutation(len(fields) - 3)]
        told, silent = others[: difficulty + 1], others[difficulty + 1 : difficulty + 2]
        present = [*required, *told] if difficulty > 1 else required
        shown = [*present, *silent]
        schema = {
            "type": "object",
            "properties": {name: part for name, part, _, _ in shown},
            "required": [name for name, _, _, _ in required],
            "additionalProperties": False,
        }
        text = " ".join(present[int(i)][3] for i in rng.permutation(len(present)))
        prompt = (
            f"{text}\n\nPut this into JSON that keeps to the following schema. Leave out what the "
            f"text does not say. Give the JSON alone in <answer> tags.\n{json.dumps(schema)}"
        )
        reference = {name: value for name, _, value, _ in present}
        return Task(prompt=prompt, reference=reference, metadata={"schema": schema})

    def grade(self, task: Task, completion: str) -> Score:
        """Parse, validate, and compare."""
        answer = strict_answer(completion)
        if not answer or len(answer) > LONGEST:
            return _score(0, "no JSON in <answer> tags", answer)
        try:
            given: object = json.loads(answer, parse_constant=_refused)
        except (ValueError, RecursionError):
            return _score(0, "not JSON", answer)
        problem = _problem(given, cast("Mapping[str, Any]", task.metadata["schema"]))
        if problem:
            return _score(1, problem, answer)
        if not _equal(given, task.reference):
            return _score(2, "other facts than the text's", answer)
        return _score(3, "", answer)

    def reference_completion(self, task: Task) -> str:
        """Return the record."""
        return f"<think>\n</think>\n<answer>{json.dumps(task.reference)}</answer>"

    def probes(self, task: Task) -> list[str]:
        """Try an empty record, the schema itself, a missing field, and one too many."""
        facts = cast("dict[str, Any]", task.reference)
        first = next(iter(facts))
        cheats: list[object] = [
            {},
            task.metadata["schema"],
            {name: value for name, value in facts.items() if name != first},
            {**facts, "note": "x"},
            {name: str(value) for name, value in facts.items()},
            [facts],
        ]
        return [f"<answer>{json.dumps(cheat)}</answer>" for cheat in cheats] + [
            f"<answer>{json.dumps(facts)}{json.dumps(facts)}</answer>",
            json.dumps(facts),
        ]


def _fields(rng: np.random.Generator) -> list[Field]:
    """Draw all fields; the first three are in every task."""
    number, weight = int(rng.integers(1000, 10000)), int(rng.integers(1, 40))
    kind, state, who = str(rng.choice(_KINDS)), str(rng.choice(_STATES)), person(rng)
    goods = [str(thing) for thing in rng.choice(_GOODS, 2, replace=False)]
    street, town = int(rng.integers(1, 200)), place(rng)
    day = f"2031-{int(rng.integers(1, 13)):02d}-{int(rng.integers(1, 29)):02d}"
    gift, price = bool(rng.random() < 0.5), int(rng.integers(100, 9999)) / 100
    text, whole = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}
    address = {
        "type": "object",
        "properties": {"number": whole, "town": text},
        "required": ["number", "town"],
        "additionalProperties": False,
    }
    things = {"type": "array", "items": {"enum": [*_GOODS]}, "minItems": 1, "uniqueItems": True}
    date = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
    return [
        ("id", whole, number, f"The {kind} has the number {number}."),
        ("kind", {"enum": [*_KINDS]}, kind, f"Its kind is {kind}."),
        ("customer", text, who, f"It is for {who}."),
        ("state", {"enum": [*_STATES]}, state, f"Its state is '{state}'."),
        ("weight", whole, weight, f"It weighs {weight} kilograms."),
        ("goods", things, goods, f"It holds {goods[0]} and then {goods[1]}."),
        ("date", date, day, f"It left on {day}."),
        ("gift", {"type": "boolean"}, gift, f"It is {'' if gift else 'not '}a gift."),
        ("price", {"type": "number"}, price, f"It cost {price:.2f}."),
        (
            "address",
            address,
            {"number": street, "town": town},
            f"It goes to house number {street} in {town}.",
        ),
    ]


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _problem(given: object, schema: Mapping[str, Any]) -> str:
    """Return how `given` breaks the schema, "" if it does not."""
    from jsonschema import Draft202012Validator

    try:
        error = next(iter(Draft202012Validator(schema).iter_errors(cast("Any", given))), None)
    except RecursionError:
        return "nested too deeply"
    if error is None:
        return ""
    path = "/".join(map(str, error.absolute_path)) or "the record"
    return one_line(f"{path}: breaks '{error.validator}' of the schema")


def _equal(given: object, wanted: object) -> bool:
    """Compare JSON values: 3 and 3.0 are one number, 1 and true are not one value."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        left, right = cast("dict[str, object]", given), cast("dict[str, object]", wanted)
        return left.keys() == right.keys() and all(_equal(left[k], right[k]) for k in right)
    if isinstance(wanted, list) and isinstance(given, list):
        left_, right_ = cast("list[object]", given), cast("list[object]", wanted)
        return len(left_) == len(right_) and all(map(_equal, left_, right_))
    return isinstance(given, bool) == isinstance(wanted, bool) and given == wanted


def _score(stage: int, reason: str, answer: str | None) -> Score:
    return Score(
        value=float(stage == 3),
        components={
            "accuracy": float(stage == 3),
            "valid_json": float(stage >= 1),
            "valid_schema": float(stage >= 2),
        },
        status=Status.OK if stage else Status.UNPARSABLE,
        reason=reason,
        extracted=answer,
    )
