"""`general/Calendar-v1`: bring a week's calendar into the state that was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from palestra.envs import Score, Task
from palestra_general.names import person
from palestra_general.tools import Call, ToolEnv, ToolError, judged, schema, spoken, written

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
TITLES = ("dentist", "lunch", "stand-up", "yoga", "review", "interview", "piano lesson", "haircut")
LONGEST_TITLE = 80
MOST_EVENTS = 40
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)

Event = dict[str, Any]


class CalendarEnv(ToolEnv):
    """One (level 1) to three (level 3) changes: add, move and cancel events.

    Events are changed by their numbers, which only the calendar tells. What counts is the state at
    the end: each change made, nothing else touched.
    """

    difficulties = (1, 3)
    max_turns = 8
    schemas = (
        schema("list_events", "Return the events of a day.", day="string: Monday to Friday"),
        schema(
            "add_event",
            "Add an event.",
            title="string",
            day="string: Monday to Friday",
            start="string: HH:MM",
            minutes="integer",
        ),
        schema(
            "move_event",
            "Move an event to another time.",
            number="integer: of the event",
            day="string: Monday to Friday",
            start="string: HH:MM",
        ),
        schema("cancel_event", "Take an event out.", number="integer: of the event"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._calendar = _Calendar([])

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw a week and the changes."""
        titles = [str(title) for title in rng.choice(TITLES, 5, replace=False)]
        numbers = [int(n) for n in rng.choice(np.arange(100, 1000), 5, replace=False)]
        week = [_event(n, t, rng) for n, t in zip(numbers, titles, strict=True)]
        kinds = [str(kind) for kind in rng.permutation(["add", "move", "cancel"])[:difficulty]]
        asked: list[str] = []
        calls: list[Call] = []
        for kind, event in zip(kinds, week, strict=False):
            words, call = _change(kind, event, rng)
            asked.append(words)
            calls.append(call)
        prompt = (
            f"Please change my calendar: {'; '.join(asked)}. Leave everything else as it is. When "
            "all is done, say <answer>done</answer>."
        )
        calendar = _Calendar(week)
        for call in calls:
            calendar.run(call)
        return Task(
            prompt=prompt,
            system=spoken(self.schemas),
            reference=calendar.state(),
            metadata={
                "week": week,
                "calls": [{"name": c.name, "arguments": dict(c.arguments)} for c in calls],
            },
            tools=self.schemas,
        )

    def start(self, task: Task) -> None:
        """Open the task's week."""
        self._calendar = _Calendar(cast("list[Event]", task.metadata["week"]))

    def tool_list_events(self, day: str) -> list[Event]:
        """Return the events of a day."""
        return self._calendar.on(day)

    def tool_add_event(self, **arguments: Any) -> Event:
        """Add an event."""
        return self._calendar.run(Call(name="add_event", arguments=arguments))

    def tool_move_event(self, **arguments: Any) -> Event:
        """Move an event."""
        return self._calendar.run(Call(name="move_event", arguments=arguments))

    def tool_cancel_event(self, **arguments: Any) -> Event:
        """Take an event out."""
        return self._calendar.run(Call(name="cancel_event", arguments=arguments))

    def judge(self, task: Task, answer: str) -> Score:
        """Compare the state of the calendar with the one that was asked for."""
        right = bool(answer) and self._calendar.state() == task.reference
        return judged(right, answer, "the calendar is not in the state that was asked for")

    def reference_completion(self, task: Task) -> str:
        """Return all changes in one turn, and the end."""
        calls = cast("Sequence[Mapping[str, Any]]", task.metadata["calls"])
        return f"{written(*(Call(**call) for call in calls))}\n<answer>done</answer>"

    def probes(self, task: Task) -> list[str]:
        """Try to say it is done, to make all changes but one, and to make one too many."""
        calls = [Call(**call) for call in cast("Any", task.metadata["calls"])]
        extra = Call(
            name="add_event",
            arguments={"title": "x", "day": "Monday", "start": "07:00", "minutes": 5},
        )
        done = "<answer>done</answer>"
        return [
            done,
            f"{written(*calls[1:])}\n{done}",
            f"{written(*calls, extra)}\n{done}",
            f"<think>{written(*calls)}</think>{done}",
        ]


class _Calendar:
    """The state of one episode."""

    def __init__(self, week: Sequence[Event]) -> None:
        self._events = {int(event["number"]): dict(event) for event in week}

    def on(self, day: str) -> list[Event]:
        """Return the events of a day, by their beginnings."""
        found = [event for event in self._events.values() if event["day"] == _day(day)]
        return sorted(found, key=lambda event: (event["start"], event["number"]))

    def state(self) -> list[list[Any]]:
        """Return all events without their numbers, in order: plain data that can be compared."""
        events = [[e["day"], e["start"], e["minutes"], e["title"]] for e in self._events.values()]
        return sorted(events, key=str)

    def run(self, call: Call) -> Event:
        """Make one change, and return the event."""
        given = call.arguments
        if call.name == "add_event":
            return self._add(**given)
        number = given["number"]
        if number not in self._events:
            raise ToolError(f"no event {number}" if abs(number) < 10**6 else "no such event")
        if call.name == "cancel_event":
            return self._events.pop(number)
        self._events[number] |= {"day": _day(given["day"]), "start": _time(given["start"])}
        return self._events[number]

    def _add(self, *, title: str, day: str, start: str, minutes: int) -> Event:
        if not title.strip() or len(title) > LONGEST_TITLE:
            raise ToolError(f"a title has 1 to {LONGEST_TITLE} characters")
        if not 1 <= minutes <= 24 * 60:
            raise ToolError("an event takes 1 to 1440 minutes")
        if len(self._events) >= MOST_EVENTS:
            raise ToolError("the calendar is full")
        number = max(self._events, default=100) + 1
        event = {"number": number, "title": title.strip(), "day": _day(day), "start": _time(start)}
        self._events[number] = {**event, "minutes": minutes}
        return self._events[number]


def _day(day: str) -> str:
    if day.strip().capitalize() not in DAYS:
        raise ToolError(f"a day is one of {', '.join(DAYS)}")
    return day.strip().capitalize()


def _time(start: str) -> str:
    if not _TIME.fullmatch(start.strip()):
        raise ToolError("a time is HH:MM, from 00:00 to 23:59")
    return start.strip()


def _when(rng: np.random.Generator) -> tuple[str, str]:
    start = f"{int(rng.integers(8, 18)):02d}:{int(rng.integers(4)) * 15:02d}"
    return str(rng.choice(DAYS)), start


def _event(number: int, title: str, rng: np.random.Generator) -> Event:
    day, start = _when(rng)
    minutes = int(rng.integers(1, 9)) * 15
    return {"number": number, "title": title, "day": day, "start": start, "minutes": minutes}


def _change(kind: str, event: Event, rng: np.random.Generator) -> tuple[str, Call]:
    """Return a change in words, and the call that makes it."""
    day, start = _when(rng)
    while kind == "move" and (day, start) == (event["day"], event["start"]):
        day, start = _when(rng)
    if kind == "add":
        title, minutes = f"call with {person(rng)}", int(rng.integers(1, 9)) * 15
        arguments = {"title": title, "day": day, "start": start, "minutes": minutes}
        words = f"add '{title}' on {day} at {start}, {minutes} minutes long"
        return words, Call(name="add_event", arguments=arguments)
    where = f"'{event['title']}' of {event['day']}"
    if kind == "move":
        arguments = {"number": event["number"], "day": day, "start": start}
        return f"move {where} to {day} at {start}", Call(name="move_event", arguments=arguments)
    return f"cancel {where}", Call(name="cancel_event", arguments={"number": event["number"]})
