"""The agent's seat in a verifiers environment, taken by whoever steps a Palestra environment.

Upstream, an `Env.run(task, agents)` asks an agent for its turns, and the agent is a program that
calls a model. Here the same coroutine runs until it wants a turn, and stops there: the turn is the
next action. What upstream would record is recorded in its own `Trace`, which its rewards read.
"""

# pyright: reportMissingImports=false, reportUnknownParameterType=false
# A checkout need not have verifiers to be checked.

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeAlias

import verifiers.v1 as vf
from verifiers.v1.graph import MessageNode
from verifiers.v1.state import state_cls

AnyTask: TypeAlias = "vf.Task[Any, Any, Any]"
AnyTrace: TypeAlias = "vf.Trace[Any, Any, Any]"


class Refused(Exception):
    """What an environment asks for and this seat has not; the text says what."""


class _NoRuntime:
    """Stands for the box that upstream runs programs in: whoever touches it is told."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Refused(f"it runs commands in a box (runtime.{name}), and there is none here")


class Seat:
    """Answers to what `Env.run` asks of an agent.

    Args:
        config: the agent's configuration, recorded on the trace.
    """

    def __init__(self, config: vf.AgentConfig) -> None:
        self.config = config
        self.trainable = True
        self.trace: AnyTrace | None = None
        self.said: str | None = None
        self.wants: asyncio.Future[None] | None = None
        self._reply: asyncio.Future[str | None] | None = None

    async def run(self, task: AnyTask, **borrowed: object) -> AnyTrace:
        """Have one answer to the task; upstream's `Agent.run`."""
        async with self.interaction(task, **borrowed) as interaction:
            await interaction.turn()
        return interaction.trace

    @asynccontextmanager
    async def interaction(self, task: AnyTask, **borrowed: object) -> AsyncGenerator[Interaction]:
        """Hold a conversation on the task; upstream's `Agent.interaction`.

        Raises:
            Refused: it is the second one of this episode, or borrows a box or tools.
        """
        if self.trace is not None:
            raise Refused("it holds two conversations in an episode, and an episode here is one")
        if any(borrowed.get(name) for name in ("runtime", "tools")):
            raise Refused(
                f"it lends the agent {', '.join(sorted(borrowed))}, and this one has none"
            )
        trace = self.trace = _trace(task, self.config)
        runtime: Any = _NoRuntime()
        await task.setup(trace, runtime)
        yield Interaction(self, trace)
        trace.stop("agent_completed")
        await task.finalize(trace, runtime)
        await task.score(trace, runtime)
        trace.ok = True

    async def ask(self, said: str | None) -> str | None:
        """Wait for an action; None where the episode has no turn left."""
        self.said = said
        self._reply = asyncio.get_running_loop().create_future()
        assert self.wants is not None
        self.wants.set_result(None)
        return await self._reply

    def answer(self, action: str | None) -> None:
        """Give the action that `ask` waits for."""
        assert self._reply is not None
        self._reply.set_result(action)


class Interaction:
    """A conversation, as upstream's `Interaction`: the caller is the user.

    Args:
        seat: who answers.
        trace: where it is recorded.
    """

    def __init__(self, seat: Seat, trace: AnyTrace) -> None:
        self._seat = seat
        self.trace = trace
        self._turns = 0
        self._over = False

    async def turn(self, message: str | None = None) -> vf.Segment:
        """Say something (nothing at first: the task's prompt stands), and return the answer."""
        if self._over:
            raise Refused("it goes on after its agent had its last turn")
        if (message is None) != (self._turns == 0):
            raise Refused("its own words open the conversation, or follow none of ours")
        if message is not None:
            _add(self.trace, vf.UserMessage(content=message))
        action = await self._seat.ask(message)
        self._turns += 1
        if action is None:
            self._over = True
            self.trace.stop("max_turns")
            return vf.Segment(messages=[], terminated=True)
        thoughts, mark, reply = action.rpartition("</think>")
        said = vf.AssistantMessage(
            content=reply.strip(),
            reasoning_content=thoughts.replace("<think>", "", 1).strip() if mark else None,
        )
        _add(self.trace, said, sampled=True)
        return vf.Segment(messages=[said])


class Episode:
    """An `Env.run` on its way, advanced from action to action; dropping it ends it.

    Args:
        env: upstream's environment.
        task: one of its tasks.
        role: the name of the one agent.
    """

    def __init__(self, env: vf.Env[Any], task: AnyTask, role: str) -> None:
        self._loop = asyncio.new_event_loop()
        self.seat = Seat(getattr(env.config, role))
        self._run = self._loop.create_task(_play(env, task, self.seat))
        self._finalizer = weakref.finalize(self, _end, self._loop, self._run)
        self._advance()

    @property
    def done(self) -> bool:
        """Whether `Env.run` has ended, its scores recorded."""
        return self._run.done()

    def answer(self, action: str | None) -> str:
        """Give the policy's turn, or None for no more; return what is said to it.

        Raises:
            Exception: whatever upstream raises.
        """
        self.seat.answer(action)
        self._advance()
        return "" if self.done else self.seat.said or ""

    def close(self) -> None:
        """End it, wherever it is."""
        self._finalizer()

    def _advance(self) -> None:
        """Run until it wants a turn, or has ended."""
        self.seat.wants = self._loop.create_future()
        either = asyncio.wait({self._run, self.seat.wants}, return_when=asyncio.FIRST_COMPLETED)
        self._loop.run_until_complete(either)
        if self.done:
            self._run.result()


async def _play(env: vf.Env[Any], task: AnyTask, seat: Seat) -> None:
    """Run an environment on a task, as upstream's `Env.run_episode` does."""
    seated: Any = seat  # it answers as upstream's Agent does, and is none
    agents = vf.Agents(env.config, lambda name, config: seated)
    await env.setup(agents)
    await env.run(task, agents)
    if seat.trace is None:
        raise Refused("it asked its agent for nothing")
    episode: vf.Episode[Any, Any, Any] = vf.Episode(
        env=vf.EnvInfo(id=env.config.env_id), task=_recorded(task), traces=[seat.trace]
    )
    await env.finalize(task, episode)


def _end(loop: asyncio.AbstractEventLoop, run: asyncio.Task[None]) -> None:
    """Cancel a run that is on its way, and close its loop."""
    if not run.done():
        run.cancel()
        loop.run_until_complete(asyncio.wait({run}))
    if not run.cancelled():
        run.exception()  # it was raised already, or is of no interest any more
    loop.close()


def _trace(task: AnyTask, config: vf.AgentConfig) -> AnyTrace:
    """Return the trace that upstream would open for a task, its prompt on it."""
    trace: AnyTrace = vf.Trace(
        task=_recorded(task),
        state=state_cls(type(task))(),
        agent=vf.AgentInfo(config=config),
    )
    if task.data.system_prompt:
        _add(trace, vf.SystemMessage(content=task.data.system_prompt))
    prompt = task.data.prompt
    for message in [vf.UserMessage(content=prompt)] if isinstance(prompt, str) else prompt or []:
        _add(trace, message)
    return trace


def _recorded(task: AnyTask) -> vf.TraceTask[Any]:
    return vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash)


def _add(trace: AnyTrace, message: vf.Message, sampled: bool = False) -> None:
    parent = len(trace.nodes) - 1 if trace.nodes else None
    trace.nodes.append(MessageNode(parent=parent, message=message, sampled=sampled))
