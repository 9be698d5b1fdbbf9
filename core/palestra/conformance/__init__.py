"""The conformance suite: what every environment must keep, each demand one small named check.

    report = conform("math/Arithmetic-v1")
    assert report.ok, report.text()

An environment is made, drawn from and graded in a child process that is killed where it hangs; the
checks look at what came back.
"""

from palestra.conformance.check import Check, Result
from palestra.conformance.report import Report
from palestra.conformance.run import check_names, conform

__all__ = ["Check", "Report", "Result", "check_names", "conform"]
