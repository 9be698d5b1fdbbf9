"""The registry, with what is built in and with local files."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from palestra.errors import ConfigError, EnvironmentFailed, NotFound, PluginError
from palestra.plugins import hookspecs
from palestra.plugins.kinds import HOOKS
from palestra.plugins.registry import Kind, Registry, get_registry, reset_registry

LOCAL = '''
from palestra import MultiTurnEnv, SingleTurnEnv, Task, Turn, environment, single_turn
from palestra.envs import TextEnv

@single_turn("mine/Add-v1")
def add(rng, difficulty):
    """Add two numbers."""
    a, b = rng.integers(100, size=2)
    return Task(prompt=f"What is {a} + {b}?", reference=str(a + b))

@environment("mine/Chat-v1")
class Chat(MultiTurnEnv):
    def __init__(self, limit: int = 1):
        super().__init__()
        self.limit = limit
        if limit > 9:
            raise SystemExit(f"limit {limit}")
    def sample(self, rng, difficulty):
        return Task(prompt=f"say {rng.integers(10**6)}")
    def respond(self, task, action):
        return Turn(done=True)

class Unmarked(Chat):
    pass
'''


@pytest.fixture
def registry() -> Registry:
    return Registry(installed=True)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "my env.py"
    path.write_text(LOCAL)
    return path


def test_marked_classes_of_a_local_file_need_no_hook(registry: Registry, local: Path):
    plugin = registry.add_local(local)
    assert [spec.name for _, spec in plugin.specs] == ["mine/Add-v1", "mine/Chat-v1"]
    assert plugin.specs[0][1].summary == "Add two numbers."
    assert registry.make_env("mine/Add-v1").env_id == "mine/Add-v1"
    assert registry.make_env("mine/Chat-v1", limit=3).limit == 3
    assert registry.find(Kind.ENVIRONMENT, "my env.py:mine/Add-v1").distribution == "my env.py"
    assert registry.local_files == [local]


def test_a_local_file_is_added_once_and_again_when_it_changes(registry: Registry, local: Path):
    first = registry.add_local(local)
    assert registry.add_local(str(local)) is first
    local.write_text(LOCAL.replace("Add-v1", "Plus-v1") + "\n# longer")
    registry.add_local(local)
    assert "mine/Plus-v1" in registry.names(Kind.ENVIRONMENT)
    assert "mine/Add-v1" not in registry.names(Kind.ENVIRONMENT)


BROKEN = {
    "calls sys.exit": ("import sys; sys.exit()", ":1: SystemExit: its module called sys.exit"),
    "misspelt hook": ("def palestra_stage(): pass", ": no hook 'palestra_stage'. Did you mean"),
    "owned namespace": (
        LOCAL.replace("mine/", "math/"),
        "an installed plugin owns the namespace 'math'",
    ),
    "no namespace": (
        LOCAL.replace("mine/Add-v1", "Add-v1"),
        "environment 'Add-v1': an id begins with its namespace, as 'my/Add-v1'",
    ),
    "no version": (
        LOCAL.replace("mine/Add-v1", "mine/Add"),
        "environment 'mine/Add': an id ends with its version, as 'my/Add-v1'",
    ),
    "syntax error": ("x = 1\n\ndef (:\n", ":3: invalid syntax: def (:"),
    "raises in a function": (
        "import json\ndef f():\n    json.loads('nonsense')\nf()\n",
        ":3: JSONDecodeError",
    ),
    "null byte": ("x = 1\0\n", "null bytes"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_local_file_is_one_line_and_leaves_nothing(
    registry: Registry, local: Path, text: str, message: str
):
    before = registry.names(Kind.ENVIRONMENT)
    modules = set(sys.modules)
    local.write_text(text)
    with pytest.raises(PluginError) as caught:
        registry.add_local(local)
    assert str(caught.value).startswith(f"plugin file {local}:")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert registry.names(Kind.ENVIRONMENT) == before
    if "sys.exit" in text:
        assert not {m for m in set(sys.modules) - modules if m.startswith("palestra_local")}


def test_no_such_file(registry: Registry, tmp_path: Path):
    with pytest.raises(ConfigError, match="no plugin file"):
        registry.add_local(tmp_path / "none.py")


def test_a_constructor_that_fails_names_the_environment(registry: Registry, local: Path):
    registry.add_local(local)
    with pytest.raises(EnvironmentFailed, match=r"'mine/Chat-v1' \(my env.py\).*limit 10"):
        registry.make_env("mine/Chat-v1", limit=10)
    with pytest.raises(ConfigError, match=r"unexpected keyword.*It takes: limit=1"):
        registry.make_env("mine/Chat-v1", limt=1)


def test_not_found_says_what_is_near_and_what_there_is(registry: Registry):
    with pytest.raises(NotFound) as caught:
        registry.find(Kind.POLICY_OPTIMIZER, "grop")
    said = str(caught.value)
    assert said.startswith("no policy optimizer 'grop'. Did you mean 'grpo'? Installed: ")
    assert " grpo (palestra), " in said
    assert said.endswith(". See: palestra plugins ls")
    with pytest.raises(NotFound, match="no stage type 'rll'"):
        registry.load(Kind.STAGE, "rll")


def test_configs_of_what_is_built_in(registry: Registry):
    assert registry.config(Kind.STAGE, "rl").__name__ == "RLConfig"
    assert registry.config(Kind.SAMPLER, "transformers").__name__ == "TransformersConfig"
    assert registry.config(Kind.REWARD_MODEL, "format") is None


def test_the_process_has_one_registry():
    reset_registry()
    first = get_registry()
    assert get_registry() is first
    reset_registry()
    assert get_registry() is not first


def test_every_hook_is_documented_with_an_example():
    for name in HOOKS:
        assert "Example:" in inspect.getdoc(getattr(hookspecs, name))


def test_importing_palestra_loads_no_plugin_and_nothing_heavy():
    code = (
        "import sys, palestra\n"
        "heavy = {'gymnasium', 'pluggy', 'numpy', 'pydantic'} | {'palestra.plugins'}\n"
        "assert not heavy & set(sys.modules)\n"
        "palestra.EnvironmentSpec\n"
        "assert 'gymnasium' not in sys.modules and 'pluggy' not in sys.modules\n"
        "assert all(getattr(palestra, name) is not None for name in palestra.__all__)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
