"""Tool calls in text: how the policy makes them, and `ToolEnv`, conversations in which it does.

A call is ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>`` behind the thoughts, as Qwen,
Hermes and many others write it. Nothing of it is evaluated: it is JSON, its arguments are held to
the tool's schema, and what is wrong with it is an observation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from palestra.envs import MultiTurnEnv, Score, Status, Task, Turn
from palestra.envs.answers import strict_answer
from palestra.errors import did_you_mean
from palestra.terminal import one_line

MOST_CALLS = 16
LONGEST_CALL = 4_000
RULES = (
    "You may call these tools. To call one, write "
    '<tool_call>{{"name": "...", "arguments": {{...}}}}</tool_call> and wait for the result.\n'
    "{schemas}\n"
)

_CALL = re.compile(r"<tool_call>((?:(?!</?tool_call>).)*)</tool_call>", re.DOTALL)
_TAG = re.compile(r"</?tool_call>")
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
}

Schema = Mapping[str, object]


class ToolError(Exception):
    """What a tool says to a call that it cannot do; the policy reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: a tool's name, and its arguments."""

    name: str
    arguments: Mapping[str, Any]


def schema(name: str, description: str, required: int = -1, /, **parameters: str) -> Schema:
    """Return a function's schema in the form that chat templates take.

    Args:
        name: the function's.
        description: what it does.
        required: how many parameters, from the first, must be given; all of them by default.
        parameters: name to type (``"integer"``) or to type and meaning (``"integer: of minutes"``).
    """
    properties: dict[str, object] = {}
    for parameter, text in parameters.items():
        type_, _, meaning = text.partition(": ")
        properties[parameter] = {"type": type_} | ({"description": meaning} if meaning else {})
    names = list(parameters)
    body = {
        "type": "object",
        "properties": properties,
        "required": names if required < 0 else names[:required],
    }
    function = {"name": name, "description": description, "parameters": body}
    return {"type": "function", "function": function}


def spoken(schemas: Sequence[Schema]) -> str:
    """Return the rules and the schemas, for prompts of any template."""
    return RULES.format(schemas="\n".join(json.dumps(s["function"]) for s in schemas))


def written(*calls: Call) -> str:
    """Return calls as the policy would write them."""
    return "\n".join(
        f"<tool_call>{json.dumps({'name': c.name, 'arguments': c.arguments})}</tool_call>"
        for c in calls
    )


def calls_in(text: str) -> list[Call]:
    """Return the calls that stand behind the thoughts of `text`, in their order.

    Raises:
        ToolError: one of them is no call, or there are too many.
    """
    said = text.rpartition("</think>")[2].partition("<think>")[0]
    found = _CALL.findall(said)
    if len(_TAG.findall(said)) != 2 * len(found):
        raise ToolError("error: <tool_call> and </tool_call> come in pairs, none within another")
    if len(found) > MOST_CALLS:
        raise ToolError(f"error: {len(found)} calls in one turn, at most {MOST_CALLS}")
    return [_parsed(body) for body in found]


def _parsed(body: str) -> Call:
    if len(body) > LONGEST_CALL:
        raise ToolError(f"error: a call of {len(body)} characters, at most {LONGEST_CALL}")
    try:
        call = json.loads(body, parse_constant=_refused)
    except (ValueError, RecursionError) as exc:
        raise ToolError('error: not JSON: a call is {"name": ..., "arguments": {...}}') from exc
    if not isinstance(call, dict):
        raise ToolError('error: a call is {"name": ..., "arguments": {...}}')
    fields = cast("dict[str, Any]", call)
    name, arguments = fields.get("name"), fields.get("arguments", {})
    if set(fields) - {"name", "arguments"} or not isinstance(name, str):
        raise ToolError('error: a call is {"name": ..., "arguments": {...}}')
    if not isinstance(arguments, dict):
        raise ToolError("error: the arguments are no JSON object")
    return Call(name=name, arguments=cast("dict[str, Any]", arguments))


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def fits(call: Call, schemas: Sequence[Schema]) -> str:
    """Return what is wrong with a call by the schemas, "" for nothing."""
    functions = {cast("Any", s["function"])["name"]: cast("Any", s["function"]) for s in schemas}
    if call.name not in functions:
        name = one_line(call.name[:60])
        return f"no tool '{name}'.{did_you_mean(name, functions)} Tools: {', '.join(functions)}"
    parameters = functions[call.name]["parameters"]
    properties: dict[str, Any] = parameters["properties"]
    for name in parameters["required"]:
        if name not in call.arguments:
            return f"{call.name} needs the argument '{name}'"
    for name, value in call.arguments.items():
        if name not in properties:
            known = ", ".join(properties)
            return f"{call.name} takes {known}, and no '{one_line(name[:60])}'"
        type_ = str(properties[name]["type"])
        is_bool = isinstance(value, bool) and type_ != "boolean"
        if is_bool or not isinstance(value, _TYPES[type_]):
            return f"the argument '{name}' of {call.name} should be: {type_}"
    return ""


class ToolEnv(MultiTurnEnv):
    """A conversation with tools: calls are run in order, an answer in the tags ends it.

    Subclasses set `schemas`, and write `start`, `tool_NAME` for each tool, and `judge`. A turn may
    hold several calls, and an answer behind them.
    """

    schemas: tuple[Schema, ...] = ()

    def start(self, task: Task) -> None:
        """Set the state of an episode; it is all that tools may change."""

    def judge(self, task: Task, answer: str) -> Score:
        """Judge the final answer, and the state that the tools left."""
        raise NotImplementedError(f"{type(self).__name__} must define judge()")

    def begin(self, task: Task) -> str:
        """Set the state, and say the prompt."""
        self.start(task)
        return task.messages[-1]["content"]

    def respond(self, task: Task, action: str) -> Turn:
        """Run the calls of a turn; judge it where it holds an answer."""
        answer = strict_answer(action)
        results: list[str] = []
        try:
            for call in calls_in(action):
                results.append(self._run(call))  # what ran before an error is told
        except ToolError as exc:  # the rest of the turn is not run
            return Turn(observation="\n".join([*results, str(exc)]), role="tool")
        if answer is not None:
            return Turn(score=self.judge(task, answer), done=True)
        if not results:
            return Turn(observation="error: neither a call nor an <answer>", role="tool")
        return Turn(observation="\n".join(results), role="tool")

    def _run(self, call: Call) -> str:
        problem = fits(call, self.schemas)
        if problem:
            raise ToolError(f"error: {problem}")
        tool = cast("Callable[..., object]", getattr(self, f"tool_{call.name}"))
        try:
            result = json.dumps(tool(**call.arguments), ensure_ascii=False)
        except ToolError as exc:
            raise ToolError(f"error: {exc}") from exc
        return result.encode("utf-8", "replace").decode()  # half a surrogate pair is no text


def judged(right: bool, answer: str, reason: str = "") -> Score:
    """Return the verdict on an answer; an empty one is none."""
    return Score(
        value=float(right),
        status=Status.OK if answer else Status.UNPARSABLE,
        reason="" if right else reason,
        extracted=answer,
    )
