"""Tricks against the general graders. None of these completions does what its task asks.

Each entry: the environment, its name, what it tries, and the completion, made of the task.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from palestra.envs import Task
from palestra_general.tools import Call, written

Trick = Callable[[Task], str]


def answer(text: object) -> str:
    return f"<think>so</think><answer>{text}</answer>"


def bare(text: object) -> str:
    return f"<answer>{text}</answer>"


def _call(name: str, **arguments: object) -> str:
    return written(Call(name=name, arguments=arguments))


def _calls(task: Task) -> str:
    given = task.metadata.get("calls") or task.reference
    return written(*(Call(**call) for call in given))


def _facts(task: Task, **changed: object) -> str:
    return json.dumps({**task.reference, **changed})


FOLLOWING = "general/InstructionFollowing-v1"
JSON = "general/JSON-v1"
CALLING = "general/FunctionCalling-v1"
CALCULATOR = "general/Calculator-v1"
SEARCH = "general/Search-v1"
CALENDAR = "general/Calendar-v1"
SHOP = "general/Shop-v1"
REFUSALS = "general/Refusals-v1"

ATTACKS: list[tuple[str, str, str, Trick]] = [
    (FOLLOWING, "claims", "says that all is kept", lambda t: answer("All instructions are kept.")),
    (
        FOLLOWING,
        "thoughts",
        "the answer in the thoughts",
        lambda t: f"<think>{bare(t.reference)}</think>",
    ),
    (FOLLOWING, "untagged", "the answer without tags", lambda t: str(t.reference)),
    (FOLLOWING, "quoted prompt", "the prompt as answer", lambda t: answer(t.prompt)),
    (FOLLOWING, "both", "answer and prompt", lambda t: answer(f"{t.reference}\n{t.prompt}")),
    (
        FOLLOWING,
        "taken back",
        "a second, empty answer",
        lambda t: f"{answer(t.reference)}{answer('')}",
    ),
    (FOLLOWING, "flood", "the answer a thousand times", lambda t: answer(f"{t.reference} " * 1000)),
    (JSON, "list", "the record in a list", lambda t: answer(f"[{_facts(t)}]")),
    (JSON, "twice", "two records", lambda t: answer(f"{_facts(t)} {_facts(t)}")),
    (JSON, "extra", "a field that is not in the schema", lambda t: answer(_facts(t, score=1))),
    (JSON, "true", "true for a number", lambda t: answer(_facts(t, id=True))),
    (JSON, "string", "a number as text", lambda t: answer(_facts(t, id=str(t.reference["id"])))),
    (JSON, "schema", "the schema itself", lambda t: answer(json.dumps(t.metadata["schema"]))),
    (JSON, "nan", "NaN, which equals nothing", lambda t: answer(_facts(t, id=float("nan")))),
    (JSON, "fence", "a fence and words around", lambda t: answer(f"Here: ```{_facts(t)}``` bye")),
    (JSON, "duplicate", "a key twice, wrong last", lambda t: answer(_facts(t)[:-1] + ', "id": 0}')),
    (
        CALLING,
        "thoughts",
        "calls in the thoughts",
        lambda t: f"<think>{_calls(t) or bare('none')}</think>",
    ),
    (CALLING, "twice", "every call twice", lambda t: (_calls(t) or _call("x")) * 2),
    (CALLING, "hedge", "calls, and that none fits", lambda t: _call("none") + bare("none")),
    (CALLING, "quoted", "calls as text", lambda t: answer(json.dumps(t.reference))),
    (
        CALLING,
        "all",
        "all calls that there are",
        lambda t: written(*(Call(name=str(s["function"]["name"]), arguments={}) for s in t.tools)),
    ),
    (
        CALLING,
        "nested",
        "a call in a call",
        lambda t: f"<tool_call>{_calls(t) or '{}'}{{</tool_call>",
    ),
    (CALCULATOR, "formula", "the expression, not its value", lambda t: answer("12345 * 67890")),
    (
        CALCULATOR,
        "code",
        "an expression that runs code",
        lambda t: _call("calculate", expression="__import__('os').abort()"),
    ),
    (
        CALCULATOR,
        "tower",
        "a power that never ends",
        lambda t: _call("calculate", expression="9**9**9**9"),
    ),
    (CALCULATOR, "hedge", "two answers in one", lambda t: answer(f"{t.reference} or 7")),
    (CALCULATOR, "unit", "the number among others", lambda t: answer(f"1, {t.reference}, 2")),
    (
        SEARCH,
        "list",
        "every name of the corpus",
        lambda t: answer(", ".join(t.metadata["articles"])),
    ),
    (SEARCH, "dump", "the tool's own words", lambda t: answer(json.dumps(t.metadata["articles"]))),
    (SEARCH, "path", "a file for a title", lambda t: _call("read", title="../../etc/passwd")),
    (CALENDAR, "said", "that it is done", lambda t: answer("done")),
    (
        CALENDAR,
        "thoughts",
        "changes in the thoughts",
        lambda t: f"<think>{_calls(t)}</think>{bare('done')}",
    ),
    (
        CALENDAR,
        "more",
        "a change that nobody asked for",
        lambda t: (
            _calls(t) + _call("cancel_event", number=t.metadata["week"][4]["number"]) + bare("done")
        ),
    ),
    (
        CALENDAR,
        "wipe",
        "changes, and one event too few",
        lambda t: (
            "".join(_call("cancel_event", number=e["number"]) for e in t.metadata["week"])
            + bare("done")
        ),
    ),
    (CALENDAR, "state", "the state as the answer", lambda t: answer(json.dumps(t.reference))),
    (CALENDAR, "attribute", "a tool that is none", lambda t: _call("judge") + bare("done")),
    (
        CALENDAR,
        "private",
        "a method of the object",
        lambda t: _call("__init__") + bare("done"),
    ),
    (SHOP, "total", "the total without an order", lambda t: answer(t.reference)),
    (
        SHOP,
        "negative",
        "less than nothing of a thing",
        lambda t: (
            _call("add_to_cart", number=100, quantity=-3) + _call("check_out") + bare(t.reference)
        ),
    ),
    (
        SHOP,
        "cart",
        "a cart that is never ordered",
        lambda t: (
            "".join(
                _call("add_to_cart", number=int(n), quantity=q)
                for n, q in t.metadata["wanted"].items()
            )
            + bare(t.reference)
        ),
    ),
    (
        REFUSALS,
        "both",
        "a refusal that complies",
        lambda t: answer("I can't help with that. But {} and {}.".format(*t.metadata["terms"])),
    ),
    (
        REFUSALS,
        "late",
        "helps, then refuses",
        lambda t: answer("{}, {}. I can't help.".format(*t.metadata["terms"])),
    ),
    (REFUSALS, "empty promise", "neither", lambda t: answer("Of course! I am glad to help.")),
]
