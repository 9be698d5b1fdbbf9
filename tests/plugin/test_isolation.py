"""A broken plugin breaks itself only, and says why where someone asks for it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from palestra.errors import ConfigError, NotFound, PluginError
from palestra.plugins import probe
from palestra.plugins.registry import Kind

SPEC = "from palestra import EnvironmentSpec, SamplerSpec, PolicyOptimizerSpec\n"
HOOK = SPEC + "def palestra_environments():\n    return [EnvironmentSpec({})]\n"

BROKEN = {
    "raises": ("raise ValueError('no luck')", "ValueError: no luck"),
    "exits": ("import sys; sys.exit(3)", "sys.exit(3)"),
    "syntax": ("def (", "SyntaxError"),
    "missing module": (None, "names a module that is not there (ModuleNotFoundError"),
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
    "no version": (
        HOOK.format("name='bad/A', entry_point='a:b'"),
        "an id ends with its version, as 'bad/Add-v1'",
    ),
    "no namespace": (
        HOOK.format("name='A-v1', entry_point='a:b'"),
        "an id begins with its namespace, as 'bad/A-v1'",
    ),
    "not plain data": (
        HOOK.format("name='bad/A-v1', entry_point='a:b', kwargs={'words': [{'a'}]}"),
        "kwargs.words[0] is a set",
    ),
    "aborts": ("import os; os.abort()", "its import crashed the interpreter (SIGABRT)"),
    "ends the process": ("import os; os._exit(0)", "ended the process with exit code 0"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "closes every file": ("import os; os.closerange(0, 4096)", "ended the process"),
    "writes to every descriptor": (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'{\"done\": 1\\n')\n"
        "    except OSError: pass\n",
        "wrote where only Palestra writes",
    ),
    "claims to be done": (
        "import os, time\nfor fd in range(3, 64):\n"
        "    try: os.write(fd, b'{\"done\": 1}\\n')\n    except OSError: pass\ntime.sleep(60)\n",
        "wrote where only Palestra writes",
    ),
    "raises what cannot be read": (
        "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd",
        "Odd: (its text cannot be read)",
    ),
    "a missing dependency": (
        "import no_such_module_of_others",
        "No module named 'no_such_module_of_others'. Install what provides it (bad does not say",
    ),
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


def test_two_distributions_that_claim_one_namespace_are_both_named(fakes):
    fakes.install_env("first", "shared")
    fakes.install("second", HOOK.format("name='shared/Mul-v1', entry_point='a:b'"), name="shared")
    registry = fakes.registry()
    with pytest.raises(ConfigError) as caught:
        registry.make_env("shared/Add-v1")
    assert str(caught.value) == (
        "environment 'shared/Add-v1': first and second both claim the namespace 'shared'. "
        "Write 'first:shared/Add-v1'"
    )
    assert registry.make_env("first:shared/Add-v1").env_id == "shared/Add-v1"
    assert registry.find(Kind.ENVIRONMENT, "second:shared/Mul-v1").distribution == "second"
    assert registry.claimants("shared") == ["first", "second"]


def test_what_survives_a_probe_is_what_the_plugin_declared(fakes):
    fields = "kwargs={'a': [1, None, {'b': 0.5}]}, size={'test': 3}, requires=['numpy'], chance=1"
    fakes.install("full", HOOK.format(f"name='full/A-v1', entry_point='a:b', {fields}"))
    spec = fakes.registry().find(Kind.ENVIRONMENT, "full/A-v1").spec
    assert spec.kwargs == {"a": [1, None, {"b": 0.5}]}
    assert (spec.size, spec.requires, spec.chance) == ({"test": 3}, ("numpy",), 1)
    assert spec.splits == ("train", "validation", "test")


GOOD = "def palestra_run_started(run): pass\n"
RUDE = {
    "prints megabytes": "import sys\nfor _ in range(20): print('x' * 10**6)\n",
    "writes to its descriptors": "import os\nos.write(1, b'{}\\n' * 10**5); os.write(2, b'{}\\n')\n",
    "closes stdout": "import os, sys\nsys.stdout.close(); os.close(1)\n",
    "leaves a thread": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(600,)).start()\n",
    "reads the keyboard": "try: input()\nexcept EOFError: pass\n",
    "forks and goes on": "import os\nos.fork()\n",
    "asks for the registry": "import palestra.gym\n",
    "changes the folder": "import os, tempfile\nos.chdir(tempfile.gettempdir())\n",
}


@pytest.mark.parametrize("source", RUDE.values(), ids=RUDE)
def test_a_rude_plugin_is_read_all_the_same(fakes, source):
    fakes.install("rude", source + GOOD)
    plugin = fakes.plugin("rude")
    assert (plugin.state, plugin.hooks) == ("ok", ("palestra_run_started",)), plugin.error


def test_what_a_plugin_starts_ends_with_its_probe(fakes, tmp_path):
    note = tmp_path / "pid"
    fakes.install(
        "starter",
        "import pathlib, subprocess\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid))\n" + GOOD,
    )
    assert fakes.plugin("starter").state == "ok"
    until = time.monotonic() + 10
    while _is_running(int(note.read_text())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _is_running(int(note.read_text()))


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_an_import_that_takes_too_long_is_stopped_and_not_waited_for_again(fakes, monkeypatch):
    monkeypatch.setattr(probe, "DEADLINE_S", 1.0)
    fakes.install("sleepy", "import time; time.sleep(600)")
    fakes.install_env("good")
    sleepy = fakes.plugin("sleepy")
    assert sleepy.error == (
        "did not import within 1 s. Try again with: palestra plugins ls --probe"
    )
    fakes.install_env("other")  # what makes other broken plugins worth another look
    monkeypatch.setattr(probe, "DEADLINE_S", 30.0)
    started = time.monotonic()
    registry = fakes.registry()
    assert time.monotonic() - started < 15.0
    assert {"good/Add-v1", "other/Add-v1"} <= set(registry.names(Kind.ENVIRONMENT))


def test_where_no_process_starts_plugins_are_broken_and_nothing_is_remembered(fakes, monkeypatch):
    fakes.install_env("good")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/python")
        assert fakes.plugin("good").error.startswith("no process could be started")
    with monkeypatch.context() as patch:
        patch.setattr(probe, "_START", "raise SystemExit('no palestra here')")
        plugin = fakes.plugin("good")
        assert plugin.error == "the process that should look at it did not start"
        assert plugin.trace == "no palestra here"
    assert fakes.plugin("good").state == "ok"


def test_a_crash_costs_no_other_plugin_of_its_package(fakes):
    sources = {"a": GOOD, "b": "import os; os.abort()", "c": GOOD, "d": "raise ValueError"}
    fakes.install_several("several", sources)
    states = {p.name: p.state for p in fakes.registry().plugins if p.distribution == "several"}
    assert states == {"a": "ok", "b": "broken", "c": "ok", "d": "broken"}


def test_a_traceback_ends_in_the_plugin_and_names_none_of_our_files(fakes):
    fakes.install("bad", "def f():\n    raise ValueError('no luck')\nf()\n")
    trace = fakes.plugin("bad").trace
    assert trace.endswith("ValueError: no luck")
    assert "line 2, in f" in trace
    assert "loading.py" not in trace
    with pytest.raises(NotFound) as caught:
        fakes.registry().find(Kind.ENVIRONMENT, "bad/A-v1")
    assert "line 2, in f" in str(caught.value.__cause__), "what --debug prints"


def test_a_declared_dependency_that_is_missing_gives_the_pip_line(fakes):
    requires = "Requires-Dist: no-such-thing>=2\nRequires-Dist: numpy\n"
    fakes.install("needy", "import no_such_thing", metadata=requires)
    error = fakes.plugin("needy").error
    assert error.endswith("No module named 'no_such_thing'. Run: pip install 'no-such-thing>=2'")


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


def test_an_observer_is_imported_when_it_is_told_something_and_not_before(fakes, caplog):
    seen = "def palestra_run_started(run): run.append(__name__)"
    module = fakes.install("watcher", seen)
    other = fakes.install("late", "def palestra_stage_finished(stage): pass")
    registry = fakes.registry()
    assert not {module, other} & set(sys.modules)
    run: list[str] = []
    registry.notify("palestra_run_started", run=run)
    assert run == [module]
    assert other not in sys.modules


def test_an_observer_that_cannot_be_imported_any_more_is_logged_once(fakes, caplog):
    module = fakes.install("watcher", GOOD)
    registry = fakes.registry()
    (fakes.folder / f"{module}.py").write_text("raise SystemExit('gone')")
    for _ in range(2):
        registry.notify("palestra_run_started", run=None)
    assert ["gone" in r.getMessage() for r in caplog.records] == [True]


def test_observers_are_told_in_pluggys_order(fakes):
    def source(mark: str) -> str:
        return f"import palestra\n{mark}\ndef palestra_run_started(run): run.append(__name__)"

    first = fakes.install("m", source("@palestra.hookimpl(tryfirst=True)"))
    last = fakes.install("z", source("@palestra.hookimpl(trylast=True)"))
    middle = fakes.install("a", source(""))
    run: list[str] = []
    fakes.registry().notify("palestra_run_started", run=run)
    assert run == [first, middle, last]
