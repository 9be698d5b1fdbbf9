"""The pytest plugin: after the tests of `palestra.testing.conformance`, what graders let through.

It imports nothing on its own account: who does not use Palestra's tests pays for no import.
"""

from __future__ import annotations

import sys
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print a line of false passes and false fails for each environment that was checked."""
    testing = sys.modules.get("palestra.testing")
    reports: list[Any] = getattr(testing, "reports", [])
    if not reports:
        return
    terminalreporter.section("palestra: conformance")
    for report in reports:
        terminalreporter.write_line(f"{report.env}: {report.counts}")
