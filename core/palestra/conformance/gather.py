"""The child's work: draw tasks, try the environment out, and send it the whole panel of probes.

Everything is sent to the parent at once, with its beginning announced, so that the parent knows
what was going on when it had to kill the child.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

from palestra.conformance import probes
from palestra.conformance.catalogue import CHECKS
from palestra.conformance.check import Violation
from palestra.conformance.episodes import Start, Text, begin, leaves, play
from palestra.conformance.evidence import GRADING_LIMIT_S, Evidence, Grading
from palestra.conformance.subject import Subject
from palestra.envs.together import step_alone
from palestra.seeding import stable_hash

FINGERPRINTS = 20
DRAWS = 200
PANEL_TASKS = 24
GUESS_TASKS = 200
LISTED_AT_MOST = 5_000
BUDGET_S = 3.0
"""Each part of the work stops there: a slow environment is looked at on fewer tasks."""

MAKE_LIMIT_S = 120.0
TRY_LIMIT_S = 30.0

Send = Callable[[dict[str, Any]], None]


class Gatherer:
    """Gathers evidence of one environment.

    Args:
        subject: the environment.
        send: takes a record away.
        skip: keys that are done, or stopped an earlier child.
    """

    def __init__(self, subject: Subject, send: Send, skip: Sequence[str] = ()) -> None:
        self.subject = subject
        self.spec = subject.spec
        self._send = send
        self._skip = frozenset(skip)
        self._pool: list[str] = []
        self._forms: list[str] = list(probes.FORMS)

    def run(self) -> None:
        """Gather everything."""
        env = self.make()
        self.fingerprint(env)
        for split in self.spec.splits:
            self._draw(env, split)
        for check in CHECKS:
            if check.try_out is not None and not check.not_applicable(self.spec):
                self._try(check.name, check.try_out)
        self._find_forms(env)
        self._look_for_leaks(env)
        self._panel(env)
        self._guesses(env)

    def make(self) -> Any:
        """Make the environment, announced as the first thing that may go wrong."""
        self._send({"begin": "make", "limit_s": MAKE_LIMIT_S})
        self.subject.load_plugins()
        return self.subject.make()

    def fingerprint(self, env: Any) -> None:
        """Say which tasks the first seeds give: another process must say the same."""
        self._send({"begin": "reset/seed", "limit_s": FINGERPRINTS * GRADING_LIMIT_S})
        tasks: list[str] = []
        for seed in range(FINGERPRINTS):
            start = begin(env, seed)
            tasks.append(f"{stable_hash(start.prompt)} {stable_hash(str(start.reference))}")
        self._send({"fingerprint": tasks})

    # -- tasks ----------------------------------------------------------------------------------

    def _draw(self, env: Any, split: str) -> None:
        """Draw tasks of a split: by index where they are listed, else by seed."""
        listed = self._listed(env, split)
        until = time.monotonic() + BUDGET_S / 2
        for number in range(min(DRAWS, listed or DRAWS)):
            if time.monotonic() > until:
                break
            where = {"split": split} | ({"index": number} if listed else {})
            self._send({"begin": f"reset/{split}/{number}", "limit_s": GRADING_LIMIT_S})
            try:
                start = begin(env, number, **where)
            except Exception as exc:
                record = {"split": split, "problem": _named(exc)}
                self._send({"kind": "split", "record": record})
                break
            if split == self.spec.splits[0] and start.reference is not None:
                self._pool.append(start.reference)
            record = {
                "split": split,
                "number": number,
                "prompt_hash": start.prompt_hash,
                "task_id": str(start.info.get("task_id", "")),
                "told": str(start.info.get("split", "")),
            }
            self._send({"kind": "draw", "record": record})

    def _listed(self, env: Any, split: str) -> int | None:
        """Return how many tasks a split lists, and send their hashes; None where they are drawn."""
        tasks = getattr(env, "tasks", None)
        found: Any = tasks(split) if callable(tasks) else None
        if found is None:
            return (self.spec.size or {}).get(split)
        hashes = [t.prompt_hash for t in cast("Sequence[Any]", found)[:LISTED_AT_MOST]]
        record = {"split": split, "hashes": hashes, "size": len(found)}
        self._send({"kind": "list", "record": record})
        return len(found)

    def _try(self, name: str, function: Callable[..., str]) -> None:
        key = f"try/{name}"
        if key in self._skip:
            return
        self._send({"begin": key, "limit_s": TRY_LIMIT_S})
        problem, note = "", ""
        try:
            note = function(self.subject.make, self.spec)
        except Violation as found:
            problem = str(found)
        except (Exception, SystemExit) as exc:
            problem = f"it raised {_named(exc)}"
        record = {"check": name, "problem": problem, "note": note}
        self._send({"kind": "try", "key": key, "record": record})

    # -- gradings -------------------------------------------------------------------------------

    def _grade(self, env: Any, probe: str, variant: str, task: int, text: Text) -> Grading | None:
        """Grade one text, unless an earlier child did, or did not survive it."""
        kind, key = f"grade/{probe}/{variant}", f"grade/{probe}/{variant}/{task}"
        if kind in self._skip or key in self._skip:
            return None
        limit = GRADING_LIMIT_S * self.spec.max_turns + 1
        self._send({"begin": key, "limit_s": limit})
        what: dict[str, Any] = {"probe": probe, "variant": variant, "task": task}
        about: dict[str, Any] = {}

        def announce(told: dict[str, str]) -> None:
            about.update(told)
            self._send({"begin": key, "limit_s": limit, "about": told})

        try:
            played = play(env, task, text, self.spec.max_turns, announce)
        except (Exception, SystemExit) as exc:
            played = about | {"raised": _named(exc)}
        if played is None:
            return None
        record: dict[str, Any] = what | played
        self._send({"kind": "grade", "key": key, "record": record})
        return Grading(**record)

    def _find_forms(self, env: Any) -> None:
        """Keep the forms in which this environment reads an answer, by its own references."""
        evidence = Evidence(spec=self.spec)
        found: list[str] = []
        for form in probes.FORMS:

            def text(start: Start, form: str = form) -> str | None:
                return None if start.reference is None else probes.in_form(form, start.reference)

            graded = [self._grade(env, "form", form, task, text) for task in range(3)]
            if any(g and not g.failed and evidence.share(g) > 0.5 for g in graded):
                found.append(form)
        self._forms = found or list(probes.FORMS)

    def _look_for_leaks(self, env: Any) -> None:
        """Send what stands in `info`, and say where the reference does."""
        until = time.monotonic() + BUDGET_S
        for task in range(PANEL_TASKS):
            if time.monotonic() > until or "grade/info/places" in self._skip:
                break
            try:
                places = self._places(env, task)
            except Exception:  # the panel sends the same, and says so
                continue
            for path, value in places[:40]:
                if not path.startswith("messages"):  # the prompt has a probe of its own
                    for form in self._forms:
                        text = probes.in_form(form, value)
                        self._grade(env, "info", f"{path}, {form}", task, _constant(text))

    def _places(self, env: Any, task: int) -> list[tuple[str, str]]:
        """Return the leaves of `info` before and after a wrong answer."""
        self._send({"begin": f"grade/info/places/{task}", "limit_s": GRADING_LIMIT_S})
        start = begin(env, task)
        reference, prompt = start.reference, start.prompt
        observation, _, terminated, truncated, info = step_alone(env, "")
        after: dict[str, Any] = {k: v for k, v in info.items() if v != start.info.get(k)}
        if not (terminated or truncated):
            after["observation"] = observation
        before = dict(leaves(start.info)) | {"observation": start.observation}
        places = [*before.items(), *((f"{p} after a step", v) for p, v in leaves(after))]
        if reference and not _holds(prompt, reference):
            record = {
                "task": task,
                "values": {path: value[:80] for path, value in places},
                "holding": [path for path, value in places if _holds(value, reference)],
                "reference": reference[:80],
            }
            self._send({"kind": "leak", "record": record})
        return [(path, value) for path, value in places if not path.startswith("observation")]

    def _panel(self, env: Any) -> None:
        until = time.monotonic() + BUDGET_S
        for task in range(PANEL_TASKS):
            if time.monotonic() > until:
                return
            for probe, texts in (
                ("silence", probes.SILENCE),
                ("tags", probes.TAGS),
                ("injection", probes.INJECTIONS),
                ("broken", probes.BROKEN),
            ):
                for variant, text in texts.items():
                    self._grade(env, probe, variant, task, _constant(text))
            self._grade(env, "echo", "bare", task, lambda start: start.prompt)
            self._grade(env, "echo", "tags", task, lambda s: probes.in_form("tags", s.prompt))
            self._of_other_tasks(env, task)
            self._own_probes(env, task)
            if task < 2:
                self._hard_work(env, task)

    def _of_other_tasks(self, env: Any, task: int) -> None:
        """Send the answer of another task, and the answers of twenty in one."""
        candidates = list(dict.fromkeys(self._pool[:20]))
        if len(candidates) < 2:
            return
        for form in self._forms:

            def another(start: Start, form: str = form) -> str | None:
                own = start.reference
                other = next((c for c in reversed(candidates) if not _same(c, own)), None)
                return None if own is None or other is None else probes.in_form(form, other)

            self._grade(env, "another", form, task, another)
            for variant in probes.listed(candidates, candidates[0], form):

                def all_of_them(
                    start: Start, variant: str = variant, form: str = form
                ) -> str | None:
                    if start.reference is None:
                        return None
                    return probes.listed(candidates, start.reference, form)[variant]

                self._grade(env, "listed", variant, task, all_of_them)

    def _own_probes(self, env: Any, task: int) -> None:
        """Send the cheats that the author wrote down."""
        own = getattr(env, "probes", None)
        if not callable(own) or "grade/own/probes" in self._skip:
            return
        self._send({"begin": f"grade/own/probes/{task}", "limit_s": GRADING_LIMIT_S})
        try:
            texts = [str(text) for text in cast("Any", own(begin(env, task).task))]
        except Exception as exc:
            record = {"probe": "own", "variant": "probes", "task": task, "raised": _named(exc)}
            self._send({"kind": "grade", "record": record})
            return
        for i, text in enumerate(texts):
            self._grade(env, "own", str(i), task, _constant(text))

    def _hard_work(self, env: Any, task: int) -> None:
        longest = int(getattr(env.action_space, "max_length", 1_000_000))
        for variant, piece in probes.MEGABYTE.items():
            text = probes.megabyte(piece, longest)
            self._grade(env, "megabyte", variant, task, _constant(text))
        for variant, text in probes.HANGS.items():
            self._grade(env, "hang", variant, task, _constant(text))

    def _guesses(self, env: Any) -> None:
        """Send every reference, and each fixed guess, over many tasks."""
        frequent = [answer for answer, _ in Counter(self._pool).most_common(3)]
        guesses = list(dict.fromkeys([*probes.GUESSES, *frequent]))
        until = time.monotonic() + BUDGET_S
        offset = DRAWS  # other tasks than those that the frequent answers come from
        for task in range(offset, offset + GUESS_TASKS):
            if time.monotonic() > until:
                break
            self._grade(env, "reference", "reference", task, _reference)
            for guess in guesses:
                for form in self._forms:
                    text = probes.in_form(form, guess)
                    self._grade(env, "guess", f"{guess}, {form}", task, _constant(text))


def _reference(start: Start) -> str | None:
    make: Any = getattr(start.env, "reference_completion", None)
    return make(start.task) if make is not None and start.task is not None else None


def _constant(text: str) -> Text:
    return lambda start: text


def _named(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"[:300]


def _same(one: str, other: str | None) -> bool:
    return other is not None and one.split() == other.split()


def _holds(text: str, reference: str) -> bool:
    """Whether a text holds the reference as a word of its own."""
    at = text.find(reference)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(reference) :][:1]
        if not (_joins(before, reference[0]) or _joins(after, reference[-1])):
            return True
        at = text.find(reference, at + 1)
    return False


def _joins(outside: str, inside: str) -> bool:
    return outside.isalnum() and inside.isalnum()
