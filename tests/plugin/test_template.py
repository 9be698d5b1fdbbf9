"""`examples/plugin-template` works as it stands, found by the entry point that it declares."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

TEMPLATE = Path(__file__).parents[2] / "examples" / "plugin-template"


def test_the_template_passes_its_own_tests_where_it_is_installed(tmp_path: Path):
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = project["entry-points"]["palestra"]
    info = tmp_path / "palestra_example-0.1.0.dist-info"  # what an editable install leaves
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head)
    lines = "".join(f"{name} = {module}\n" for name, module in points.items())
    (info / "entry_points.txt").write_text(f"[palestra]\n{lines}")
    path = os.pathsep.join([str(tmp_path), str(TEMPLATE / "src")])
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=TEMPLATE,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )
