"""`Task`: one question with its reference, and the hash that names its prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from palestra.splits import prompt_hash


class Message(TypedDict):
    """One turn of a conversation, as chat templates take it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One question: what the policy sees, and what the grader needs.

    Attributes:
        prompt: the question, or a conversation that ends with the user's turn.
        reference: what `grade` compares with; never shown to the policy.
        metadata: anything else that a grader or a table wants (plain data).
        system: a system prompt, rendered where the template has a place for one.
        language: the language the chain of thought should be in (``en``, ``zh``), if any.
        tools: tool schemas for the chat template.
        id: set by the framework (the hash of the prompt) where the environment sets none.
    """

    prompt: str | list[Message]
    reference: object = None
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    system: str | None = None
    language: str | None = None
    tools: tuple[Mapping[str, object], ...] = ()
    id: str = ""

    @property
    def messages(self) -> list[Message]:
        """The conversation so far, system prompt first."""
        head: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        if isinstance(self.prompt, str):
            return [*head, {"role": "user", "content": self.prompt}]
        return [*head, *self.prompt]

    @property
    def prompt_hash(self) -> str:
        """16 hex digits that name the content of the prompt, whatever its white space and width."""
        return prompt_hash("\n".join(m["content"] for m in self.messages))


def checked_task(task: object, what: str) -> Task:
    """Return `task` if it is one, with a question that a policy can answer.

    Args:
        task: what an author's code returned.
        what: what that code is called.

    Raises:
        TypeError: it is something else.
        ValueError: it asks nothing.
    """
    if not isinstance(task, Task):
        raise TypeError(f"{what} is a {type(task).__name__}, and should be a Task")
    messages = task.messages
    if not messages or not messages[-1]["content"].strip():
        raise ValueError(f"{what} has no prompt: give Task(prompt=...) the question")
    return task
