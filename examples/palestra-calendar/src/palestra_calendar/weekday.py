"""`calendar/Weekday-v1`: days of the week, by counting and by the calendar."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import numpy as np

from palestra import Score, SingleTurnEnv, Status, Task
from palestra.envs.answers import strict_answer

DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
}
_SAME_DAY = {"sonnabend": "samstag"}
_COUNT = {
    "en": "Today is {day}. Which day of the week is it in {n} days?",
    "de": "Heute ist {day}. Welcher Wochentag ist in {n} Tagen?",
}
_DATES = {
    "en": "{known} is a {day}. Which day of the week is {asked}?",
    "de": "Der {known} ist ein {day}. Welcher Wochentag ist der {asked}?",
}
_BARE = {
    "en": "Which day of the week is {asked}?",
    "de": "Welcher Wochentag ist der {asked}?",
}
_SO = {
    "en": "{n} days are {weeks} weeks and {rest} days; {rest} days after {day} is {answer}",
    "de": "{n} Tage sind {weeks} Wochen und {rest} Tage; {rest} Tage nach {day} ist {answer}",
}
_EPOCH = datetime.date(2001, 1, 1)  # a Monday


class WeekdayEnv(SingleTurnEnv):
    """Which day of the week it is.

    Levels: 1 so many days from a given day, at most 99; 2 at most 9,999; 3 a date, when another
    date's day is given; 4 a date alone.
    """

    difficulties = (1, 4)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "de"
        if difficulty <= 2:
            start, n = int(rng.integers(7)), int(rng.integers(1, 100 ** (difficulty) - 1))
            ask = _COUNT[language].format(day=DAYS[language][start], n=n)
        else:
            asked = datetime.date(1900, 1, 1) + datetime.timedelta(int(rng.integers(73_000)))
            known = _EPOCH
            if difficulty == 3:
                known = asked - datetime.timedelta(int(rng.integers(1, 400)))
            start, n = known.weekday(), (asked - known).days
            ask = (_DATES if difficulty == 3 else _BARE)[language].format(
                known=_written(known, language),
                day=DAYS[language][start],
                asked=_written(asked, language),
            )
        return Task(
            prompt=ask,
            reference=DAYS[language][(start + n) % 7],
            language=language,
            metadata={"start": start, "days": n},
        )

    def grade(self, task: Task, completion: str) -> Score:
        """Pay for exactly one day, the right one, in the language of the question."""
        answer = strict_answer(completion)
        said = "" if answer is None else answer.strip(" .!").casefold()
        right = _SAME_DAY.get(said, said) == str(task.reference).casefold()
        return Score(
            value=float(right),
            status=Status.UNPARSABLE if answer is None else Status.OK,
            reason="no <answer>…</answer> behind the thoughts" if answer is None else "",
            extracted=answer,
        )

    def reference_completion(self, task: Task) -> str:
        days, start = task.metadata["days"], task.metadata["start"]
        assert isinstance(days, int)
        assert isinstance(start, int)
        language = task.language or "en"
        weeks, rest = divmod(days, 7)
        thoughts = _SO[language].format(
            n=days, weeks=weeks, rest=rest, day=DAYS[language][start], answer=task.reference
        )
        return f"<think>{thoughts}</think><answer>{task.reference}</answer>"

    def probes(self, task: Task) -> Iterator[str]:
        """Yield what must earn nothing: all seven days, and the day in the other language."""
        language = task.language or "en"
        other = "de" if language == "en" else "en"
        index = DAYS[language].index(str(task.reference))
        for answer in (", ".join(DAYS[language]), DAYS[other][index], f"not {task.reference}"):
            yield f"<think>a guess</think><answer>{answer}</answer>"


def _written(date: datetime.date, language: str) -> str:
    return date.isoformat() if language == "en" else f"{date.day}.{date.month}.{date.year}"
