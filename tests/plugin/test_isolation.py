"""A broken plugin breaks itself only, and says why where someone asks for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from palestra.errors import ConfigError, NotFound, PluginError
from palestra.plugins.registry import Kind

SPEC = "from palestra import EnvironmentSpec, SamplerSpec, PolicyOptimizerSpec\n"
HOOK = SPEC + "def palestra_environments():\n    return [EnvironmentSpec({})]\n"

BROKEN = {
    "raises": ("raise ValueError('no luck')", "ValueError: no luck"),
    "exits": ("import sys; sys.exit(3)", "sys.exit(3)"),
    "syntax": ("def (", "SyntaxError"),
    "missing module": (None, "ModuleNotFoundError"),
    "misspelt hook": ("def palestra_enviroments(): return []", "'palestra_environments'"),
    "wrong argument": ("def palestra_run_started(rum): pass", "Did you mean 'run'?"),
    "hook raises": ("def palestra_samplers(): raise KeyError('x')", "KeyError: 'x'"),
    "hook exits": ("def palestra_samplers(): raise SystemExit(0)", "sys.exit(0)"),
    "returns None": ("def palestra_samplers(): pass", "list of SamplerSpec, not NoneType"),
    "wrong class": (
        SPEC + "def palestra_samplers(): return [PolicyOptimizerSpec(name='x', entry_point='a:b')]",
        "one item is of type PolicyOptimizerSpec",
    ),
    "wrong api": (
        HOOK.format("name='bad/A-v1', entry_point='a:b', api='>=2'"),
        "plugin API >=2",
    ),
    "api is no range": (HOOK.format("name='bad/A-v1', entry_point='a:b', api='two'"), "'two'"),
    "no version": (HOOK.format("name='bad/A', entry_point='a:b'"), "namespace/Name-vN"),
    "wrong namespace": (
        HOOK.format("name='math/A-v1', entry_point='a:b'"),
        "should be the name of the entry point, 'bad'",
    ),
    "no entry point": (HOOK.format("name='bad/A-v1', entry_point='a.b'"), "package.module:Object"),
    "declared twice": (
        HOOK.format("name='bad/A-v1', entry_point='a:b'").replace(")]", ")] * 2"),
        "declared twice",
    ),
}


@pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_breaks_only_itself(fakes, source, cause):
    fakes.install("bad", source)
    fakes.install_env("good")
    bad = fakes.plugin("bad")
    assert (bad.state, bad.distribution, bad.version, bad.specs) == ("broken", "bad", "1.2", ())
    assert cause in bad.error
    registry = fakes.registry()
    assert registry.make_env("good/Add-v1").env_id == "good/Add-v1"
    assert "grpo" in registry.names(Kind.POLICY_OPTIMIZER)
    with pytest.raises(NotFound, match="Plugin 'bad'") as caught:
        registry.find(Kind.ENVIRONMENT, "bad/A-v1")
    assert cause in str(caught.value)


def test_nothing_of_a_half_registered_plugin_stays(fakes):
    fakes.install(
        "bad", "def palestra_run_started(run): raise ValueError\ndef palestra_stages(): return 1"
    )
    registry = fakes.registry()
    assert registry.observers() == []
    registry.notify("palestra_run_started", run="somewhere")


def test_an_entry_point_to_nothing_fails_on_use_only(fakes):
    fakes.install("odd", HOOK.format("name='odd/A-v1', entry_point='json:Nothing'"))
    registry = fakes.registry()
    assert "odd/A-v1" in registry.names(Kind.ENVIRONMENT)
    with pytest.raises(PluginError, match=r"environment 'odd/A-v1' \(odd\).*has no 'Nothing'"):
        registry.make_env("odd/A-v1")


def test_a_missing_requirement_gives_the_pip_line(fakes):
    requires = "requires=('numpy', 'no-such-thing>=2', 'pytest<1')"
    fakes.install("needy", HOOK.format(f"name='needy/A-v1', entry_point='a:b', {requires}"))
    registry = fakes.registry()
    with pytest.raises(ConfigError) as caught:
        registry.load(Kind.ENVIRONMENT, "needy/A-v1")
    assert str(caught.value).endswith("Run: pip install 'no-such-thing>=2' 'pytest<1'")


def test_a_clash_names_both_distributions_and_is_settled_by_one(fakes):
    source = SPEC + "def palestra_samplers(): return [SamplerSpec(name='s', entry_point='{}')]"
    fakes.install("one", source.format("json:dumps"))
    fakes.install("two-b", source.format("json:loads"))
    registry = fakes.registry()
    assert registry.names(Kind.SAMPLER).count("s") == 1
    with pytest.raises(ConfigError, match=r"one and two-b\. Write 'one:s' or 'two-b:s'"):
        registry.find(Kind.SAMPLER, "s")
    assert registry.load(Kind.SAMPLER, "Two_B:s").__name__ == "loads"
    with pytest.raises(NotFound, match="three:s"):
        registry.find(Kind.SAMPLER, "three:s")


def test_two_distributions_may_share_a_namespace_but_no_id(fakes):
    fakes.install_env("first", "shared")
    fakes.install_env("second", "shared")
    registry = fakes.registry()
    with pytest.raises(ConfigError, match="first and second"):
        registry.make_env("shared/Add-v1")
    assert registry.make_env("second:shared/Add-v1").env_id == "shared/Add-v1"


def test_variables_choose_what_is_loaded(fakes, monkeypatch):
    fakes.install_env("one")
    fakes.install_env("two")
    monkeypatch.setenv("PALESTRA_PLUGINS", "one, tow")
    plugins = {p.name: p for p in fakes.registry().plugins}
    assert sorted(plugins) == ["one", "palestra", "tow"]
    assert plugins["tow"].error.endswith("Did you mean 'two'?")
    monkeypatch.delenv("PALESTRA_PLUGINS")
    monkeypatch.setenv("PALESTRA_BLOCK_PLUGINS", "one")
    names = {p.name for p in fakes.registry().plugins}
    assert "two" in names
    assert "one" not in names


def test_an_observer_that_raises_is_logged_and_never_fatal(fakes, caplog):
    fakes.install("a", "def palestra_stage_finished(stage): raise SystemExit(1)")
    seen = "def palestra_stage_finished(report, stage): report.append(stage)"
    fakes.install("b", seen)
    registry = fakes.registry()
    assert registry.observers() == ["a", "b"]
    report: list[str] = []
    for _ in range(2):
        registry.notify("palestra_stage_finished", run=None, stage="zero", report=report)
    assert report == ["zero", "zero"]
    failures = [r for r in caplog.records if "SystemExit" in r.getMessage()]
    assert [bool(r.exc_info) for r in failures] == [True, False]


def test_a_marked_hook_counts_as_an_unmarked_one_does(fakes):
    fakes.install(
        "marked",
        "import palestra\n@palestra.hookimpl(specname='palestra_samplers')\ndef mine():\n"
        "    return [palestra.SamplerSpec(name='s', entry_point='json:dumps')]",
    )
    assert fakes.plugin("marked").counts == {"sampler": 1}


def test_gymnasium_makes_it_in_a_fresh_process_beside_a_broken_plugin(fakes):
    fakes.install("bad", "raise ValueError")
    fakes.install_env("good")
    code = (
        f"import sys; sys.path.insert(0, {str(fakes.folder)!r})\n"
        "import gymnasium\n"
        "env = gymnasium.make('palestra.gym:good/Add-v1')\n"
        "assert env.spec.max_episode_steps is None\n"
        "observation, info = env.reset(seed=1)\n"
        "_, reward, terminated, truncated, _ = env.step('<answer>0</answer>')\n"
        "assert (terminated, truncated) == (True, False), observation\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
