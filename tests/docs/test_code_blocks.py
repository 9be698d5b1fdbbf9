"""Every code block of the documentation does what it says: see `run_page`."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, blocks, pages
from tests.docs.run_page import RAN

RUN = [p for p in pages() if any(b.language in RAN and not b.not_run for b in blocks(p))]

NOT_RUN = {
    ("README.md", "make demo"),
    ("docs/how-to/talk-to-a-model.md", "palestra chat runs/r1-tiny"),
    ("docs/how-to/talk-to-a-model.md", 'palestra chat tiny --once "What is 12+5?" --json'),
    (
        "docs/how-to/benchmarks.md",
        "palestra benchmark runs/r1-tiny/stages/08-r1/checkpoints/step-000060/model --data benchmarks/ \\",
    ),
    (
        "README.md",
        "palestra run r1-tiny --set model=HuggingFaceTB/SmolLM2-135M-Instruct --only zero",
    ),
    ("docs/tutorials/first-environment.md", "python -m venv .venv"),
    ("docs/how-to/publish-a-plugin.md", "pip install 'palestra[plugins]'"),
    ("docs/how-to/publish-a-plugin.md", "pip install build"),
    (
        "docs/how-to/several-processes.md",
        "ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m palestra.cli.main run my_recipe.yaml",
    ),
    (
        "docs/how-to/several-processes.md",
        "export ACCELERATE_USE_CPU=true ACCELERATE_USE_FSDP=true FSDP_VERSION=2 "
        "FSDP_AUTO_WRAP_POLICY=TRANSFORMER_BASED_WRAP",
    ),
    (
        "docs/how-to/several-processes.md",
        "launch=$(python -c 'import palestra, pathlib; "
        'print(pathlib.Path(palestra.__file__).parent / "launch")\')',
    ),
    ("docs/how-to/vllm.md", "pip install 'palestra[train,vllm]'"),
    ("docs/how-to/vllm.md", "python -m venv .venv-vllm"),
    ("docs/how-to/vllm.md", "palestra serve-sampler tiny --port 8001 --threads 1"),
    ("docs/how-to/e2b.md", "from palestra.grading.sandbox import get_sandbox"),
    ("docs/reference/adapters-reasoning-gym.md", "pip install 'palestra[adapters]'"),
    ("docs/how-to/llm-judge.md", "export OPENAI_BASE_URL=http://localhost:8000/v1"),
}
"""Page and first line of each block that is not run; the page's source says why."""

NOT_CODE = {"", "toml", "{toctree}", "{glossary}", "{eval-rst}", "text"}
"""Languages that nothing can be done with: output, metadata, and Sphinx's own."""


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


class Judge(http.server.BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint whose model says 7."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/chat/completions"
        assert body["messages"][-1]["content"]
        choice = {"index": 0, "message": {"role": "assistant", "content": "7"}}
        answer = json.dumps({"object": "chat.completion", "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def judge() -> Iterator[str]:
    """The address of a judge, as a client's base URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=name)
def test_every_code_block_of_a_page_does_what_it_says(
    page: Path, tmp_path: Path, judge: str, cache: Path
) -> None:
    if "examples/" in page.read_text():  # the reader has a clone
        (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PALESTRA_CACHE": str(cache),
        "OPENAI_BASE_URL": judge,
        "COLUMNS": "120",
        "OMP_NUM_THREADS": "2",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.run_page", str(page)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    found = {
        (name(page), block.code.splitlines()[0].split("  ")[0])
        for page in pages()
        for block in blocks(page)
        if block.not_run
    }
    assert found == NOT_RUN


def test_every_block_has_a_language_that_is_run_or_known() -> None:
    strange = {
        f"{name(page)}:{block.line}: {block.language}"
        for page in pages()
        for block in blocks(page)
        if block.language not in RAN | NOT_CODE
    }
    assert not strange


def test_every_python_file_of_a_page_is_used_by_a_later_block() -> None:
    for page in pages():
        found = blocks(page)
        for number, block in enumerate(found):
            if block.language == "python" and block.title:
                later = "".join(b.code for b in found[number + 1 :])
                assert block.title in later, f"{name(page)}:{block.line}: {block.title}"
