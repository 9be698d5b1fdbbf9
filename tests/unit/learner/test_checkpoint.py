"""Checkpoints: whole or not at all, checked, and never lost to a full disk."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from palestra.errors import CheckpointError, TrainingError
from palestra.learner.checkpoint import Checkpoints, verify


def writes(text: str = "weights"):
    def write(folder: Path) -> None:
        (folder / "model").mkdir()
        (folder / "model" / "weights.bin").write_text(text)
        (folder / "state.json").write_text("{}")

    return write


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_checkpoint_is_sound_and_named_by_its_step(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path / "c")
    place = checkpoints.save(20, writes("w"))
    assert place == tmp_path / "c" / "step-000020"
    assert (place / "model" / "weights.bin").read_text() == "w"
    assert verify(place) is None
    assert checkpoints.latest() == place
    assert names(tmp_path / "c") == ["step-000020"]


def test_no_folder_means_no_checkpoint_yet(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path / "none")
    assert checkpoints.latest() is None
    assert checkpoints.all() == []
    assert checkpoints.best() is None
    assert not (tmp_path / "none").exists()


def test_the_checkpoint_appears_only_when_it_is_whole(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    seen: list[object] = []

    def write(folder: Path) -> None:
        seen.append(checkpoints.all())
        seen.append(folder.name.startswith("."))
        writes()(folder)

    checkpoints.save(1, write)
    assert seen == [[], True]


def test_a_writer_that_dies_leaves_no_checkpoint(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, writes())
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, lambda folder: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert checkpoints.latest() == tmp_path / "step-000001"


def test_a_killed_process_leaves_only_what_is_swept(tmp_path: Path):
    """A real kill -9 in the middle of writing."""
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from palestra.learner.checkpoint import Checkpoints\n"
        "def write(f):\n    (f / 'half').write_text('x'); os.kill(os.getpid(), 9)\n"
        "Checkpoints(Path(sys.argv[1])).save(7, write)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert names(tmp_path) == [".step-000007.tmp"]
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() is None
    checkpoints.save(7, writes())
    assert names(tmp_path) == ["step-000007"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: (p / "model" / "weights.bin").write_text("Weights"),
        lambda p: (p / "model" / "weights.bin").write_text(""),
        lambda p: (p / "model" / "weights.bin").unlink(),
        lambda p: (p / "state.json").unlink(),
        lambda p: (p / "checksums.json").unlink(),
        lambda p: (p / "checksums.json").write_text('{"state'),
        lambda p: (p / "checksums.json").write_text("[]"),
        lambda p: (p / "checksums.json").write_text("{}"),
        lambda p: (p / "checksums.json").write_bytes(b"\xff\xfe"),
    ],
    ids=[
        "flipped",
        "emptied",
        "lost",
        "state-lost",
        "no-sums",
        "half-sums",
        "list",
        "none",
        "bytes",
    ],
)
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    damage, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    checkpoints = Checkpoints(tmp_path)
    good = checkpoints.save(1, writes())
    damage(checkpoints.save(2, writes()))
    with caplog.at_level(logging.WARNING, logger="palestra"):
        assert checkpoints.latest() == good
    assert "step-000002" in caplog.text
    assert "damaged" in caplog.text


def test_only_damaged_checkpoints_are_an_error_that_names_them(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        (checkpoints.save(step, writes()) / "state.json").write_text("x")
    with pytest.raises(CheckpointError, match=r"step-000002.*step-000001") as caught:
        checkpoints.latest()
    assert str(tmp_path) in str(caught.value)


def test_the_last_n_are_kept(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    for step in (1, 2, 3, 4):
        checkpoints.save(step, writes())
    assert names(tmp_path) == ["step-000003", "step-000004"]


def test_a_million_steps_are_in_order(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    for step in (999_998, 999_999, 1_000_000):
        checkpoints.save(step, writes())
    assert names(tmp_path) == ["step-1000000", "step-999999"]
    latest = checkpoints.latest()
    assert latest is not None
    assert latest.name == "step-1000000"


def test_the_best_outlives_the_last_n(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    for step, metric in ((1, 0.2), (2, 0.9), (3, 0.5), (4, None), (5, 0.9)):
        checkpoints.save(step, writes(), metric)
    assert checkpoints.best() == tmp_path / "step-000002"
    assert names(tmp_path) == ["best.json", "step-000002", "step-000005"]


def test_a_best_that_a_resume_undid_is_forgotten(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    for step, metric in ((1, 0.2), (2, 0.9)):
        checkpoints.save(step, writes(), metric)
    (tmp_path / "step-000002" / "state.json").write_text("damaged")
    checkpoints.save(1, writes(), 0.3)  # the run went back to before 2
    assert checkpoints.best() == tmp_path / "step-000001"


def test_a_torn_note_of_the_best_does_not_stop_a_run(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, writes(), 0.9)
    (tmp_path / "best.json").write_text('{"step": 1, "met')
    assert checkpoints.best() is None
    checkpoints.save(2, writes(), 0.5)
    assert checkpoints.best() == tmp_path / "step-000002"


def test_a_resumed_run_never_prunes_what_it_just_saved(tmp_path: Path):
    """The newest is damaged, the run goes back and saves again before that step."""
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    checkpoints.save(30, writes())
    (tmp_path / "step-000030" / "state.json").write_text("damaged")
    place = checkpoints.save(25, writes())
    assert place.is_dir()
    assert checkpoints.latest() == place
    assert names(tmp_path) == ["step-000025"]


def test_a_step_can_be_saved_again(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, writes("old"))
    place = checkpoints.save(1, writes("new"))
    assert (place / "model" / "weights.bin").read_text() == "new"
    assert verify(place) is None


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def torch_writer(*_: object) -> None:
    raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")


@pytest.mark.parametrize("fault", [no_space, torch_writer])
def test_a_full_disk_while_writing_keeps_what_was_there(fault, tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    good = checkpoints.save(1, writes())

    def write(folder: Path) -> None:
        (folder / "half").write_text("x")
        fault()

    with pytest.raises(TrainingError, match="step-000002"):
        checkpoints.save(2, write)
    assert names(tmp_path) == ["step-000001"]
    assert checkpoints.latest() == good


def test_the_message_of_a_full_disk_says_what_to_do(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"disk is full.*--resume"):
        Checkpoints(tmp_path).save(1, no_space)


@pytest.mark.parametrize("at", ["checksums", "best", "mkdir"])
def test_a_full_disk_at_any_write_is_a_training_error(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, writes(), 0.5)
    whole = Path.write_text

    def write_text(self: Path, *args: object, **kwargs: object) -> int:
        if self.name.lstrip(".").startswith(at):
            no_space()
        return whole(self, *args, **kwargs)  # type: ignore[arg-type]

    if at == "mkdir":
        monkeypatch.setattr(Path, "mkdir", no_space)
    else:
        monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(TrainingError, match="disk is full"):
        checkpoints.save(2, lambda folder: None, 0.9)
    monkeypatch.undo()
    assert checkpoints.latest() is not None
    assert verify(tmp_path / "step-000001") is None


def test_other_runtime_errors_pass_through(tmp_path: Path):
    def write(folder: Path) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug") as caught:
        Checkpoints(tmp_path).save(1, write)
    assert not isinstance(caught.value, TrainingError)
    assert names(tmp_path) == []


WRITERS = {
    "torch": "torch.save(t, f / 'learner.pt')",
    "safetensors": "save_file({'w': t}, f / 'model.safetensors')",
    "text": "(f / 'state.json').write_text('x' * t.numel())",
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_really_full_file_system_keeps_the_earlier_checkpoint(writer: str, tmp_path: Path):
    """A tmpfs of 1 MiB, in a mount namespace of its own; needs unprivileged or root unshare."""
    code = f"""
import subprocess, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from palestra.errors import TrainingError
from palestra.learner.checkpoint import Checkpoints, verify
folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=True)
checkpoints = Checkpoints(folder / "c")
def writer(size):
    t = torch.zeros(size)
    def write(f):
        {WRITERS[writer]}
    return write
good = checkpoints.save(1, writer(1000), 0.1)
for number in (1, 2):
    try:
        checkpoints.save(2, writer(3 << 20), 0.2)
    except TrainingError as exc:
        print("training error:", exc)
assert checkpoints.latest() == good and checkpoints.all() == [good], checkpoints.all()
checkpoints.save(3, writer(1000), 0.3)
print("sound:", verify(folder / "c" / "step-000003") is None)
"""
    unshare = ["unshare", "--mount", "--map-root-user"]
    try:
        allowed = subprocess.run(
            [*unshare, "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("no unshare")
    if allowed.returncode:
        pytest.skip("no right to mount a file system here")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training error: the disk is full") == 2
    assert "sound: True" in done.stdout


def test_the_checksums_cover_every_file(tmp_path: Path):
    place = Checkpoints(tmp_path).save(1, writes())
    sums = json.loads((place / "checksums.json").read_text())
    assert sorted(sums) == ["model/weights.bin", "state.json"]
