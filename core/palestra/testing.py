"""What plugin authors' tests import: the conformance suite in one line, and in one call.

    from palestra.testing import conformance

    test_add = conformance("acme/Add-v1")

gives one test a check (``test_add[reference-earns-the-maximum]``), each with the mend in its
failure; a check that the spec makes meaningless is skipped with the reason.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from palestra.conformance import Report, Result, check_names, conform
from palestra.errors import PalestraError

if TYPE_CHECKING:
    from palestra.envs.env import TextEnv
    from palestra.plugins.specs import EnvironmentSpec

__all__ = ["Report", "Result", "check_environment", "conformance"]

reports: list[Report] = []
"""Of the environments that `conformance` held to the suite in this process."""


def check_environment(
    env: TextEnv | str,
    kwargs: Mapping[str, object] | None = None,
    *,
    spec: EnvironmentSpec | None = None,
) -> Report:
    """Hold an environment to every check of ``palestra envs check``.

    Args:
        env: an environment, or the id of one that is installed.
        kwargs: arguments of the constructor, for an id.
        spec: what to hold an object to; by default what is registered under its id.

    Returns:
        The report of an environment that keeps them all.

    Raises:
        AssertionError: it breaks the contract; the message names each check, with its mend.

    Example:
        >>> check_environment("math/Arithmetic-v1")
    """
    report = conform(env, kwargs, spec=spec)
    if report.ok:
        return report
    failures = "\n".join(result.message for result in report.failed)
    raise AssertionError(f"{report.env}\n{failures}\n{report.counts}")


def conformance(
    env: TextEnv | str,
    kwargs: Mapping[str, object] | None = None,
    *,
    spec: EnvironmentSpec | None = None,
) -> Callable[[str], None]:
    """Return a test function for pytest, one test a check.

    The environment is looked at once, when the first of the tests runs.

    Args:
        env: an environment, or the id of one that is installed.
        kwargs: arguments of the constructor, for an id.
        spec: what to hold an object to; by default what is registered under its id.

    Example:
        >>> test_add = conformance("acme/Add-v1")
    """
    import pytest

    @functools.cache
    def results() -> dict[str, Result] | str:
        try:
            report = conform(env, kwargs, spec=spec)
        except PalestraError as exc:
            return str(exc)
        reports.append(report)
        return {result.name: result for result in report.results}

    @pytest.mark.parametrize("check", check_names())
    def test(check: str) -> None:
        found = results()
        if isinstance(found, str):
            pytest.fail(found, pytrace=False)
        result = found[check]
        if result.state == "n/a":
            pytest.skip(f"n/a: {result.what}")
        if result.state == "failed":
            pytest.fail(result.message, pytrace=False)

    return test
