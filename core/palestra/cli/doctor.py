"""``palestra plugins doctor``: what is wrong with this installation, and the mend for each."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from palestra.terminal import visible


def doctor(
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what is wrong with this installation, and how to mend it; exit 1 where a problem is."""
    from palestra.install.health import State, examine

    findings = examine()
    sick = any(finding.state is State.PROBLEM for finding in findings)
    if json_output:
        document = {"ok": not sick, "findings": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(document, indent=2))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            mend = f" -> {finding.mend}" if finding.mend else ""
            line = f"{finding.state:<7}  {finding.what:<{width}}  {finding.detail}{mend}"
            typer.echo(visible(" ".join(line.splitlines())))
    raise typer.Exit(1 if sick else 0)
