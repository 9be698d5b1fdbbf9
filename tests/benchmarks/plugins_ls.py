"""How long `palestra plugins ls` takes with 50 plugins: cold, and with what it knows from before.

    python tests/benchmarks/plugins_ls.py [--rounds 5]

Of the 50 five are broken (one of them never ends its import) and five import torch. The aims are
the project's own: at most 60 s for the first look at all of them, and under 0.5 s from then on.
Nothing is asserted about time, because a loaded machine would fail it; states are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIGHT = """
from palestra import EnvironmentSpec

def palestra_environments():
    return [EnvironmentSpec(name="{name}/Add-v1", entry_point=__name__ + ":Add")]
"""
BROKEN = {
    "raises": "raise ValueError('no luck')",
    "misspelt": "def palestra_enviroments(): return []",
    "aborts": "import os; os.abort()",
    "needy": "import no_such_module_anywhere",
    "endless": "import time; time.sleep(600)",
}
COLD_S, WARM_S = 60.0, 0.5


def make_site(folder: Path) -> dict[str, str]:
    """Write 50 distributions into a folder; return the state that each plugin should have."""
    sources = {f"light{number}": LIGHT for number in range(40)}
    sources |= {f"heavy{number}": "import torch\n" + LIGHT for number in range(5)}
    sources |= BROKEN
    for name, source in sources.items():
        (folder / f"{name}_plugin.py").write_text(source.replace("{name}", name))
        info = folder / f"dist_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[palestra]\n{name} = {name}_plugin\n")
    return {name: "broken" if name in BROKEN else "ok" for name in sources}


def list_plugins(site: Path, cache: Path) -> tuple[dict[str, str], float]:
    """Run the command; return each plugin's state, and the seconds that it took."""
    environment = {**os.environ, "PYTHONPATH": str(site), "PALESTRA_CACHE": str(cache)}
    palestra = str(Path(sys.executable).with_name("palestra"))
    started = time.perf_counter()
    done = subprocess.run(
        [palestra, "plugins", "ls", "--json"], env=environment, check=True, stdout=subprocess.PIPE
    )
    seconds = time.perf_counter() - started
    return {p["name"]: p["state"] for p in json.loads(done.stdout)}, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        site, cache = Path(folder) / "site", Path(folder) / "cache"
        site.mkdir()
        wanted = make_site(site)
        states, cold = list_plugins(site, cache)
        warm: list[float] = []
        for _ in range(rounds):
            again, seconds = list_plugins(site, cache)
            assert again == states
            warm.append(seconds)
    wrong = {name for name, state in wanted.items() if states.get(name) != state}
    print(f"{len(wanted)} plugins, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    print(f"{'plugins ls':<28}{'seconds':>9}{'at most':>9}")
    print(f"{'cold (all are looked at)':<28}{cold:>9.2f}{COLD_S:>9.1f}")
    print(f"{f'warm (median of {rounds})':<28}{statistics.median(warm):>9.2f}{WARM_S:>9.1f}")
    print(f"wrong states: {', '.join(sorted(wrong)) or 'none'}")


if __name__ == "__main__":
    main()
