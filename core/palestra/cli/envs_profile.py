"""``palestra envs profile``: measure how fast an environment is, and how large."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from palestra.cli.options import Files, Json, Keywords, keywords, registry_with
from palestra.terminal import one_line


def profile(
    env_id: Annotated[str, typer.Argument(metavar="ENV_ID", help="As math/Arithmetic-v1.")],
    kwargs: Keywords = None,
    json_output: Json = False,
    plugins: Files = None,
) -> None:
    """Measure tasks and gradings a second, prompt lengths, memory and the time to import."""
    registry_with(plugins)
    from palestra.conformance.profile import profile as measure

    document = measure(env_id, keywords(kwargs))
    if json_output:
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(one_line(document["env"]))
    for name, value in _facts(document).items():
        typer.echo(f"  {name:<20} {value}")


def _facts(document: dict[str, Any]) -> dict[str, str]:
    length = document["prompt_characters"]
    reference = document["reference_gradings_per_s"]
    right = "no reference" if reference is None else f"{reference:,.0f} a second"
    memory, growth = document["memory_bytes"], document["memory_growth_bytes"]
    return {
        "import and make": f"{document['make_s']:.3f} s",
        "tasks": f"{document['tasks_per_s']:,.0f} a second",
        "gradings, reference": right,
        "gradings, junk": f"{document['junk_gradings_per_s']:,.0f} a second",
        "prompt, characters": (
            f"{length['min']} to {length['max']}, median {length['median']}, 90% up to "
            f"{length['p90']}"
        ),
        "distinct prompts": f"{document['distinct_share']:.1%} of {document['prompts']}",
        "memory": (
            "not known here"
            if growth is None
            else f"{memory / 2**20:.0f} MiB, {growth / 2**20:.0f} MiB of it the environment's"
        ),
    }
