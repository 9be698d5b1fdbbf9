"""Virtual environments and wheels for tests that install: real ones, without a network."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "core", ROOT / "environments", ROOT / "plugins"]
PACKAGES = Path(sysconfig.get_paths()["purelib"])

ENVIRONMENT = """
from palestra import EnvironmentSpec, Task, single_turn

@single_turn("{name}/Add-v1")
def add(rng, difficulty):
    a, b = rng.integers(1000, size=2)
    return Task(prompt=f"What is {{a}} + {{b}}?", reference=str(a + b))

def palestra_environments():
    return [EnvironmentSpec(name="{name}/Add-v1", entry_point=__name__ + ":add")]
"""


@dataclass(frozen=True)
class Venv:
    """A virtual environment that sees the packages of the one that runs the tests."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        return self.folder / "lib" / version / "site-packages"

    def run(self, *arguments: str | Path, code: int = 0, **options: object) -> str:
        """Run its python; return stdout and stderr together."""
        environment = {
            **os.environ,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder / "wheels"),
            "PALESTRA_CACHE": str(self.folder / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **options.pop("env", {}),  # type: ignore[dict-item]
        }
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [str(self.python), *map(str, arguments)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            **options,  # type: ignore[call-overload]
        )
        assert done.returncode == code, done.stdout
        assert code == 0 or "Traceback" not in done.stdout, done.stdout
        return done.stdout

    def palestra(self, *arguments: str | Path, code: int = 0, **options: object) -> str:
        """Run the command ``palestra`` of this environment."""
        return self.run("-m", "palestra.cli.main", *arguments, code=code, **options)

    def files(self) -> dict[str, bytes]:
        """Every file that is installed here, but for compiled ones."""
        return {
            str(path.relative_to(self.site)): path.read_bytes()
            for path in sorted(self.site.rglob("*"))
            if path.is_file() and path.suffix != ".pyc"
        }

    def wheel(
        self,
        name: str,
        version: str = "1.0",
        source: str | None = None,
        *,
        requires: tuple[str, ...] = (),
        entry_point: bool = True,
    ) -> Path:
        """Write a wheel where pip looks for packages; by default one that brings an environment."""
        short = name.removeprefix("palestra-")
        module = name.replace("-", "_")
        info = f"{module}-{version}.dist-info"
        files = {
            f"{module}.py": ENVIRONMENT.format(name=short) if source is None else source,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            + "".join(f"Requires-Dist: {text}\n" for text in requires),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\n"
            "Root-Is-Purelib: true\nTag: py3-none-any\n",
        }
        if entry_point:
            files[f"{info}/entry_points.txt"] = f"[palestra]\n{short} = {module}\n"
        record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        folder = self.folder / "wheels"
        folder.mkdir(exist_ok=True)
        path = folder / f"{module}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for file, text in [*files.items(), (f"{info}/RECORD", record)]:
                archive.writestr(file, text)
        return path


def make_venv(folder: Path, *, tree: bool = True) -> Venv:
    """Make a virtual environment in a second: no pip of its own, no copies.

    Args:
        folder: where.
        tree: whether it imports Palestra from the working tree; otherwise from nowhere.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    made = Venv(folder)
    (folder / "wheels").mkdir()
    lines = [*(map(str, SOURCES) if tree else ()), str(PACKAGES)]
    (made.site / "tests.pth").write_text("\n".join(lines) + "\n")
    return made


def build_wheel(project: Path, into: Path) -> Path:
    """Build a project's wheel, with the hatchling that is here or else with pip's own copy."""
    isolated = [] if importlib.util.find_spec("hatchling") is None else ["--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *isolated]
    before = set(into.glob("*.whl"))
    subprocess.run([*command, "--wheel-dir", str(into), str(project)], check=True, timeout=300)
    (wheel,) = set(into.glob("*.whl")) - before
    return wheel
