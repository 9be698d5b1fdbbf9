"""vLLM that is missing, too old, too new, or built for another torch: one line with the mend."""

from __future__ import annotations

import pytest

from palestra.errors import ConfigError
from palestra.rollout.samplers import vllm_install
from palestra.rollout.samplers.vllm_install import check_vllm


def pretend(
    monkeypatch: pytest.MonkeyPatch, version: str, torch: str = "2.13.0+cpu", needs: str = ""
) -> None:
    """Let the metadata of installed packages say this; nothing real has these versions here."""
    monkeypatch.setattr(vllm_install, "installed_vllm", lambda: ("vllm", version))
    monkeypatch.setattr(vllm_install, "version", lambda name: torch)
    monkeypatch.setattr(vllm_install, "requires", lambda name: [needs] if needs else [])


def test_missing_is_one_line_with_the_pip_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vllm_install, "installed_vllm", lambda: None)
    with pytest.raises(ConfigError, match=r"not installed\. Run: pip install 'vllm<0\.33,>=0\.32'"):
        check_vllm()


def test_too_old_is_one_line_with_the_pip_command(monkeypatch: pytest.MonkeyPatch):
    pretend(monkeypatch, "0.9.1")
    with pytest.raises(ConfigError, match=r"vllm 0\.9\.1 is too old: .*Run: pip install"):
        check_vllm()


def test_newer_than_tested_is_a_note(monkeypatch: pytest.MonkeyPatch):
    pretend(monkeypatch, "0.40.0")
    notes: list[str] = []
    check_vllm(notes.append)
    assert notes == ["vllm 0.40.0 is outside what Palestra is tested with (<0.33,>=0.32)"]


@pytest.mark.parametrize("needs", ["torch==2.14.0", "torch==2.14.0+cu128"])
def test_another_torch_is_one_line_with_the_pip_command(
    monkeypatch: pytest.MonkeyPatch, needs: str
):
    pretend(monkeypatch, "0.32.0", needs=needs)
    with pytest.raises(ConfigError, match=r"built for torch==2\.14\.0, and 2\.13\.0\+cpu is"):
        check_vllm()


@pytest.mark.parametrize("needs", ["torch==2.13.0+cpu", "torch==2.13.0", "torch>=2.12"])
def test_the_torch_that_it_is_built_for_is_no_mistake(monkeypatch: pytest.MonkeyPatch, needs: str):
    pretend(monkeypatch, "0.32.0", needs=needs)
    notes: list[str] = []
    check_vllm(notes.append)
    assert notes == []
