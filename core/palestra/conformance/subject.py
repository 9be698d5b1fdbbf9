"""`Subject`: an environment under check, and how any process makes it again."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from palestra.errors import NotFound
from palestra.plugins.registry import Kind, get_registry
from palestra.plugins.specs import EnvironmentSpec

if TYPE_CHECKING:
    import gymnasium

    from palestra.envs.env import TextEnv


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An environment by its id, or an object that was handed over.

    Attributes:
        spec: what its plugin declared of it.
        env_id: its id as it was asked for (``DIST:id`` too); "" for an object.
        kwargs: arguments of its constructor.
        files: local plugin files that the registry has to load first.
        prototype: the object, where there is one; environments are then copies of it.
    """

    spec: EnvironmentSpec
    env_id: str = ""
    kwargs: Mapping[str, object] = field(default_factory=dict[str, object])
    files: tuple[str, ...] = ()
    prototype: Any = None

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.spec.name

    def make(self) -> gymnasium.Env[Any, Any]:
        """Make a new environment."""
        if self.prototype is not None:
            return copy.deepcopy(self.prototype)
        return cast("Any", get_registry().make_env(self.env_id, **self.kwargs))

    def load_plugins(self) -> None:
        """Load the local files in this process."""
        for file in self.files:
            get_registry().add_local(file)

    def pickled(self) -> bytes | None:
        """Return what another interpreter can make of it; None where it cannot (a local class)."""
        if self.prototype is not None and type(self.prototype).__module__ == "__main__":
            return None
        try:
            return pickle.dumps(self)
        except Exception:  # whatever a foreign object's pickling raises
            return None


def subject_of(
    env: TextEnv | str, kwargs: Mapping[str, object], spec: EnvironmentSpec | None = None
) -> Subject:
    """Return the subject that `env` stands for.

    Args:
        env: an id (``DIST:id`` too), or an environment that need not be registered.
        kwargs: arguments of the constructor, for an id.
        spec: what to hold an object to; by default what is registered under its id, or the
            defaults of `EnvironmentSpec`.

    Raises:
        NotFound: nothing has the id.
    """
    registry = get_registry()
    files = tuple(str(file) for file in registry.local_files)
    if isinstance(env, str):
        found = cast("EnvironmentSpec", registry.find(Kind.ENVIRONMENT, env).spec)
        return Subject(spec=found, env_id=env, kwargs=kwargs, files=files)
    return Subject(spec=spec or _declared(env), files=files, prototype=env)


def _declared(env: TextEnv) -> EnvironmentSpec:
    env_id = getattr(env, "env_id", "")
    try:
        return cast("EnvironmentSpec", get_registry().find(Kind.ENVIRONMENT, env_id).spec)
    except NotFound:
        return EnvironmentSpec(
            name=env_id or type(env).__name__,
            entry_point="",
            max_turns=getattr(env, "max_turns", 1),
        )
