"""An upstream environment and its tasks, loaded once a process, or refused with the reason."""

# pyright: reportMissingImports=false, reportUnknownParameterType=false
# A checkout need not have verifiers to be checked.

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pydantic
import verifiers.v1 as vf
from verifiers.v1.configs.agent import agent_config_fields

from palestra.envs.task import Message, Task
from palestra.errors import ConfigError
from palestra.splits import SPLITS, Split, split_of
from palestra_verifiers.seat import AnyTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an id stands for.

    Attributes:
        env: upstream's environment.
        role: the name of its one agent.
        rows: upstream's tasks.
        tasks: the same as Palestra's, by split; ``metadata["row"]`` is the place in `rows`.
    """

    env: vf.Env[Any]
    role: str
    rows: list[AnyTask]
    tasks: Mapping[Split, list[Task]]

    @property
    def is_single_turn(self) -> bool:
        """Whether its agent answers once: upstream's default for a plain taskset."""
        return type(self.env).run is vf.SingleAgentEnv.run


def load_source(
    package: str, limit: int | None, split: Split | None, config: Mapping[str, object]
) -> Source:
    """Return the environment of a package with its tasks; one process loads it once.

    Raises:
        ConfigError: no such package, options that it has not, or needs that cannot be met here.
    """
    try:
        options = json.dumps(config, sort_keys=True)
    except TypeError as exc:
        raise ConfigError(f"{package}: its options are plain data: {exc}") from exc
    return _load(package, limit, split, options)


@lru_cache(maxsize=8)
def _load(package: str, limit: int | None, split: Split | None, options: str) -> Source:
    env = _environment(package, json.loads(options))
    role = _only_role(package, env)
    if limit is None and not env.taskset.bounded:
        raise ConfigError(f"{package}: its tasks never end; say how many to take: limit: 1000")
    try:
        rows: list[AnyTask] = list(itertools.islice(env.taskset, limit))
    except Exception as exc:
        why = " ".join(str(exc).replace("*", "").split())[:300]
        raise ConfigError(f"{package}: its tasks do not load: {type(exc).__name__}: {why}") from exc
    if not rows:
        raise ConfigError(f"{package}: it has no tasks")
    _refuse(package, env, rows[0])
    tasks: dict[Split, list[Task]] = {name: [] for name in SPLITS}
    for number, row in enumerate(rows):
        task = _task(package, number, row)
        tasks[split or split_of(task.prompt_hash)].append(task)
    return Source(env=env, role=role, rows=rows, tasks=tasks)


def _environment(package: str, options: dict[str, object]) -> vf.Env[Any]:
    try:
        config = vf.resolve_env_config({"taskset": {**options, "id": package}})
        return vf.load_environment(config)
    except ModuleNotFoundError as exc:
        name = package.rpartition("/")[2].partition("@")[0].replace("-", "_").lower()
        if exc.name in (None, name, f"verifiers.v1.tasksets.{name}"):
            raise ConfigError(
                f"no verifiers environment '{package}' is installed (no module '{name}'). "
                "Install its package first"
            ) from exc
        raise ConfigError(f"{package}: it needs '{exc.name}', which is not installed") from exc
    except pydantic.ValidationError as exc:
        first = exc.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part != "taskset")
        raise ConfigError(f"{package}: option '{key}': {first['msg']}.{_takes(package)}") from exc
    except (ImportError, AttributeError, TypeError, ValueError) as exc:
        text = " ".join(str(exc).split())
        raise ConfigError(f"{package}: verifiers cannot load it: {text}") from exc


def _takes(package: str) -> str:
    """Return what options a package has, for an error."""
    known = vf.taskset_config_type(package).model_fields
    return f" It takes: {', '.join(name for name in known if name != 'id')}"


def _only_role(package: str, env: vf.Env[Any]) -> str:
    roles = list(agent_config_fields(env.config))
    if len(roles) != 1:
        raise ConfigError(
            f"{package}: it has {len(roles)} agents ({', '.join(roles)}), and there is one policy "
            "here: models for the others are upstream's to serve"
        )
    return roles[0]


def _refuse(package: str, env: vf.Env[Any], task: AnyTask) -> None:
    """Refuse what would need a box, a tool server or a judge, before anything runs."""
    needs: list[str] = []
    if task.NEEDS_CONTAINER or task.data.image:
        needs.append("a container")
    if type(env).start is not vf.Env.start:
        needs.append("resources of its own (it overrides Env.start)")
    tools = [*env.taskset.toolsets(env.taskset.config), *task.toolsets(task.config)]
    if tools:
        needs.append(f"tool servers ({', '.join(type(each).__name__ for each in tools)})")
    if task.plugged_judges():
        needs.append("a judge, which is a model: use a reward model of Palestra's")
    if hooks := [hook.__name__ for kind in ("stop", "intercept") for hook in _hooks(task, kind)]:
        needs.append(f"hooks into the calls of a model ({', '.join(hooks)})")
    boxed = [f.__name__ for kind in ("reward", "metric") for f in task.hooks(kind) if _boxed(f)]
    if boxed:
        needs.append(f"a box to run programs in ({', '.join(boxed)})")
    if not task.hooks("reward") and type(env).run is vf.SingleAgentEnv.run:
        needs.append("rewards: its tasks have none")
    if needs:
        raise ConfigError(f"{package}: it cannot be played here: it needs {'; '.join(needs)}")


def _hooks(task: AnyTask, kind: str) -> list[Any]:
    if kind == "intercept":
        return [f for f in vars(type(task)).values() if hasattr(f, kind)]
    return task.hooks(kind)


def _boxed(function: Any) -> bool:
    parameter = inspect.signature(function).parameters.get("runtime")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _task(package: str, number: int, row: AnyTask) -> Task:
    data = row.data
    if isinstance(data.prompt, str):
        messages: list[Message] = [{"role": "user", "content": data.prompt}]
    else:
        messages = [_message(package, number, message) for message in data.prompt or []]
    if not messages or messages[-1]["role"] != "user":
        raise ConfigError(
            f"{package}: task {number} has no prompt that ends with the user's turn; what a model "
            "of a user would open cannot be played here"
        )
    return Task(
        prompt=messages, system=data.system_prompt, metadata={"row": number}, id=f"row{number}"
    )


def _message(package: str, number: int, message: Any) -> Message:
    if not isinstance(message.content, str):
        raise ConfigError(f"{package}: the prompt of task {number} is not of text alone")
    return {"role": message.role, "content": message.content}
