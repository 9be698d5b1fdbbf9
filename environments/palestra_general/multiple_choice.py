"""`general/MultipleChoice-v1`: questions with shuffled options, of a file or the Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import cast

from palestra.envs import SPLITS, Score, SingleTurnEnv, Split, Task, split_of, verdict
from palestra.envs.answers import lenient_answer, strict_answer
from palestra.errors import ConfigError, DataError, did_you_mean
from palestra.seeding import rng as named_rng
from palestra.splits import prompt_hash
from palestra_general.rows import rows

_ENV = "general/MultipleChoice-v1"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTER = re.compile(r"(?:option |answer )?[\(\[]?([A-Za-z])[\)\]]?[.:]?", re.IGNORECASE)


class MultipleChoiceEnv(SingleTurnEnv):
    """Questions whose options stand in an order of their own, not the dataset's.

    The question decides the order, so every member of a group sees one prompt; another `order`
    shuffles anew, which measures how much a policy goes by position. The answer is a letter, or
    the whole option.

    Args:
        path: a local file: JSONL, CSV or Parquet.
        hub: else the id of a dataset of the Hub, such as ``cais/mmlu``.
        config: the dataset's configuration, such as ``all``.
        hub_split: the dataset's split.
        question: the column of the question.
        choices: the column of the options: a list, or a JSON list in a CSV file.
        answer: the column of the right one: its number from 0, its letter, or its text.
        order: which shuffling.
        split: take every row for this split; by default the question's hash decides.
        limit: read at most so many rows.

    Raises:
        ConfigError: no source, or one that there is not.
        DataError: a row without a right answer among its options; the error names it.
    """

    def __init__(
        self,
        path: str | None = None,
        hub: str | None = None,
        config: str | None = None,
        hub_split: str = "test",
        question: str = "question",
        choices: str = "choices",
        answer: str = "answer",
        order: int = 0,
        split: Split | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__()
        if split is not None and split not in SPLITS:
            raise ConfigError(f"{_ENV}: no split '{split}'.{did_you_mean(split, SPLITS)}")
        self._tasks: dict[str, list[Task]] = {name: [] for name in SPLITS}
        columns = (question, choices, answer)
        seen: set[str] = set()
        for where, row in rows(
            path, hub, columns, config=config, hub_split=hub_split, limit=limit, what=_ENV
        ):
            options = _options(row[choices], where)
            right = _right(row[answer], options, where)
            asked = str(row[question]).strip()
            name = prompt_hash("\n".join([asked, *sorted(options)]))
            if name not in seen:
                seen.add(name)
                self._tasks[split or split_of(name)].append(_task(asked, options, right, order))

    def tasks(self, split: Split) -> Sequence[Task]:
        return self._tasks[split]

    def grade(self, task: Task, completion: str) -> Score:
        """Compare the letter, or the option's text."""
        options = cast("list[str]", task.metadata["options"])
        strict = strict_answer(completion)
        return verdict(
            strict,
            correct=_chosen(strict, options) == task.reference,
            lenient=_chosen(lenient_answer(completion), options) == task.reference,
        )


def _task(question: str, options: list[str], right: int, order: int) -> Task:
    shuffled = named_rng(order, "options", prompt_hash(question)).permutation(len(options))
    shown = [options[i] for i in shuffled]
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, shown, strict=False)]
    prompt = "\n".join([question, *lines, "Give the letter of the right option in <answer> tags."])
    letter = LETTERS[[int(i) for i in shuffled].index(right)]
    return Task(prompt=prompt, reference=letter, metadata={"options": shown})


def _chosen(answer: str | None, options: Sequence[str]) -> str | None:
    """Return the letter that an answer names, by itself or by its option's text."""
    if answer is None:
        return None
    by_text = [_plain(option) for option in options]
    if by_text.count(_plain(answer)) == 1:
        return LETTERS[by_text.index(_plain(answer))]
    found = _LETTER.fullmatch(answer.strip())
    if found:
        return found[1].upper()
    head, _, text = answer.strip().partition(" ")
    found = _LETTER.fullmatch(head)
    if found and _plain(text) in by_text:  # "B. the option", where both say the same
        letter = LETTERS[by_text.index(_plain(text))]
        return letter if letter == found[1].upper() else None
    return None


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold().rstrip(".")


def _options(value: object, where: str) -> list[str]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as exc:
            raise DataError(f"{where}: the options are no JSON list") from exc
    if not isinstance(value, list | tuple):
        raise DataError(f"{where}: the options are no list")
    options = [str(option).strip() for option in cast("Sequence[object]", value)]
    if not 2 <= len(options) <= len(LETTERS) or len({*options}) < len(options):
        raise DataError(f"{where}: {len(options)} options; 2 to {len(LETTERS)} different ones go")
    return options


def _right(value: object, options: list[str], where: str) -> int:
    """Return the place of the right option: given by text, by letter, or by number from 0."""
    text = str(value).strip()
    if text in options and not isinstance(value, int):
        return options.index(text)
    if len(text) == 1 and text.upper() in LETTERS[: len(options)]:
        return LETTERS.index(text.upper())
    if text.isascii() and text.isdigit() and int(text[:6]) < len(options):
        return int(text)
    raise DataError(f"{where}: the answer '{text[:60]}' is none of the options")
