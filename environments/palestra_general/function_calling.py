"""`general/FunctionCalling-v1`: choose the functions that a request needs, with their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from palestra.envs import Score, SingleTurnEnv, Status, Task
from palestra.envs.answers import same_answer, strict_answer
from palestra_general.names import person, place
from palestra_general.tools import Call, Schema, ToolError, calls_in, fits, schema, spoken, written

NONE = "none"
UNFIT = 0.125
"""The share of tasks for which no function fits: calling one all the same is a common fault."""

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Function:
    schema: Schema
    draw: Callable[[np.random.Generator], tuple[str, Arguments]]

    @property
    def name(self) -> str:
        return str(cast("Any", self.schema["function"])["name"])


def _weather(rng: np.random.Generator) -> tuple[str, Arguments]:
    town, days = place(rng), int(rng.integers(2, 10))
    return f"tell me the weather in {town} for the next {days} days", {"city": town, "days": days}


def _now(rng: np.random.Generator) -> tuple[str, Arguments]:
    town = place(rng)
    return f"tell me how the weather in {town} is right now", {"city": town}


def _mail(rng: np.random.Generator) -> tuple[str, Arguments]:
    who, what = person(rng), str(rng.choice(["Invoice", "Holiday plans", "New contract"]))
    return f"draft a mail to {who} with the subject '{what}'", {"to": who, "subject": what}


def _money(rng: np.random.Generator) -> tuple[str, Arguments]:
    amount = int(rng.integers(5, 5000))
    from_, to = (str(c) for c in rng.choice(["EUR", "USD", "JPY", "GBP", "CNY"], 2, replace=False))
    return f"convert {amount} {from_} to {to}", {"amount": amount, "source": from_, "target": to}


def _timer(rng: np.random.Generator) -> tuple[str, Arguments]:
    minutes = int(rng.integers(2, 90))
    return f"set a timer for {minutes} minutes", {"seconds": minutes * 60}


def _train(rng: np.random.Generator) -> tuple[str, Arguments]:
    a, b = place(rng), place(rng)
    seats = int(rng.integers(2, 8))
    asked = f"book {seats} seats on the train from {a} to {b}"
    return asked, {"origin": a, "destination": b, "seats": seats}


def _light(rng: np.random.Generator) -> tuple[str, Arguments]:
    room, level = str(rng.choice(["kitchen", "hall", "study"])), int(rng.integers(1, 100))
    return f"set the light in the {room} to {level} percent", {"room": room, "percent": level}


def _table(rng: np.random.Generator) -> tuple[str, Arguments]:
    guests, hour = int(rng.integers(2, 12)), int(rng.integers(17, 23))
    who = person(rng)
    asked = f"reserve a table for {guests} at {hour}:00 under the name {who}"
    return asked, {"guests": guests, "hour": hour, "name": who}


_FUNCTIONS = (
    _Function(
        schema=schema("get_forecast", "Weather of the coming days.", city="string", days="integer"),
        draw=_weather,
    ),
    _Function(schema=schema("get_weather", "Weather right now.", city="string"), draw=_now),
    _Function(
        schema=schema("draft_mail", "Draft a mail.", 2, to="string", subject="string", cc="string"),
        draw=_mail,
    ),
    _Function(
        schema=schema(
            "convert_currency", "Convert money.", amount="number", source="string", target="string"
        ),
        draw=_money,
    ),
    _Function(schema=schema("set_timer", "Start a timer.", seconds="integer"), draw=_timer),
    _Function(
        schema=schema(
            "book_train",
            "Book a train.",
            3,
            origin="string",
            destination="string",
            seats="integer",
            first_class="boolean",
        ),
        draw=_train,
    ),
    _Function(
        schema=schema("set_light", "Dim a light.", room="string", percent="integer"), draw=_light
    ),
    _Function(
        schema=schema(
            "reserve_table", "Reserve a table.", guests="integer", hour="integer", name="string"
        ),
        draw=_table,
    ),
)


class FunctionCallingEnv(SingleTurnEnv):
    """One (level 1) to three (level 3) calls among four to six functions, in any order.

    Names and arguments must be exactly those that the request gives: an optional argument that it
    does not mention stays out. One task in eight needs a function that is not there: the answer is
    then ``<answer>none</answer>``, and no call.
    """

    difficulties = (1, 3)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw the functions that are there, and what is asked for."""
        order = [_FUNCTIONS[i] for i in rng.permutation(len(_FUNCTIONS))]
        offered = order[: 3 + difficulty]
        unfit = rng.random() < UNFIT
        needed = [order[-1]] if unfit else offered[:difficulty]
        drawn = [(function.name, *function.draw(rng)) for function in needed]
        schemas = tuple(offered[i].schema for i in rng.permutation(len(offered)))
        calls = [{"name": name, "arguments": given} for name, _, given in drawn]
        prompt = (
            f"Please {', and '.join(asked for _, asked, _ in drawn)}. Make all calls at once. If "
            f"no tool fits, make none and say <answer>{NONE}</answer>."
        )
        return Task(
            prompt=prompt,
            system=spoken(schemas),
            reference=[] if unfit else calls,
            tools=schemas,
        )

    def grade(self, task: Task, completion: str) -> Score:
        """Compare the calls with those that the request needs, whatever their order."""
        try:
            calls = calls_in(completion)
            problem = next(filter(None, (fits(call, task.tools) for call in calls)), "")
        except ToolError as exc:
            return _score(False, str(exc), None)
        wanted = [Call(**call) for call in cast("Sequence[Any]", task.reference)]
        if not wanted:
            right = not calls and same_answer(strict_answer(completion), NONE)
            return _score(right, "" if right else "no tool fits", strict_answer(completion))
        if not calls:
            return _score(False, "no call", None)
        right = not problem and _alike(calls, wanted)
        return _score(right, problem or "other calls are needed", written(*calls))

    def reference_completion(self, task: Task) -> str:
        """Return the calls, or that none fits."""
        calls = [Call(**call) for call in cast("Sequence[Any]", task.reference)]
        return f"<think>\n</think>\n{written(*calls) or f'<answer>{NONE}</answer>'}"

    def probes(self, task: Task) -> list[str]:
        """Try half of the calls, one too many, calls in the thoughts, and any call."""
        calls = [Call(**call) for call in cast("Sequence[Any]", task.reference)]
        first = str(cast("Any", task.tools[0]["function"])["name"])
        empty = Call(name=first, arguments={})
        cheats = [f"{written(*calls, empty)}<answer>{NONE}</answer>", written(empty)]
        if calls:
            cheats += [
                f"<think>{written(*calls)}</think>",
                written(*calls, *calls),
                f"{written(*calls[1:])}<answer>{NONE}</answer>",
            ]
        return cheats


def _alike(calls: Sequence[Call], wanted: Sequence[Call]) -> bool:
    rest = list(wanted)
    for call in calls:
        match = next((w for w in rest if w.name == call.name and _same(call, w)), None)
        if match is None:
            return False
        rest.remove(match)
    return not rest


def _same(call: Call, wanted: Call) -> bool:
    if set(call.arguments) != set(wanted.arguments):
        return False
    return all(_equal(call.arguments[name], value) for name, value in wanted.arguments.items())


def _equal(given: object, wanted: object) -> bool:
    if isinstance(given, str) and isinstance(wanted, str):
        return " ".join(given.split()).casefold() == " ".join(wanted.split()).casefold()
    return isinstance(given, bool) == isinstance(wanted, bool) and given == wanted


def _score(right: bool, reason: str, extracted: str | None) -> Score:
    return Score(
        value=float(right),
        status=Status.UNPARSABLE if extracted is None else Status.OK,
        reason="" if right else reason,
        extracted=extracted,
    )
