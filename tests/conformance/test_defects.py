"""Each check finds its defect, and nothing else; the sound environments pass them all."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from palestra.conformance import Report, check_names, conform
from palestra.envs import SingleTurnEnv, Task
from palestra.plugins.specs import EnvironmentSpec
from tests.conformance import defects
from tests.conformance.defects import DEFECTS


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Report]]]:
    """Check the defective environments that were asked for, two at a time."""
    asked = [getattr(item, "callspec", None) for item in request.session.items]
    names = {call.params["check"] for call in asked if call and "check" in call.params}
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(conform, environment(), spec=spec)
            for name, (environment, spec) in DEFECTS.items()
            if name in names
        }


@pytest.mark.slow
@pytest.mark.parametrize("check", DEFECTS)
def test_a_defect_fails_exactly_its_check(check: str, reports: dict[str, Future[Report]]):
    report = reports[check].result()
    assert [result.name for result in report.failed] == [check], report.text()
    assert report.failed[0].mend


def test_each_check_has_its_defect():
    assert {*DEFECTS, "makes-and-resets"} == set(check_names())


@pytest.mark.parametrize(
    "sound", [defects.Sound, defects.Listed, defects.Chat, defects.Panel, defects.Pile]
)
def test_a_sound_environment_passes(sound: type[SingleTurnEnv]):
    report = conform(sound())
    assert report.ok, report.text()
    assert report.probes > 3_000
    assert report.false_passes == 0
    assert (report.false_fails, report.references) == (0, 200)


def test_an_environment_that_cannot_be_reset_is_said_once():
    report = conform(defects.CannotBeReset())
    failed = {result.name: result for result in report.failed}
    assert "KeyError: 'no such file'" in failed["makes-and-resets"].what
    assert report.count("ok") == 0
    assert report.text().count("no such file") == 1


def test_a_process_that_dies_is_a_grader_that_fails():
    report = conform(defects.Dies())
    assert [result.name for result in report.failed] == ["graders-never-raise"], report.text()
    assert "died" in report.failed[0].what


def test_a_group_grader_that_miscounts_fails():
    report = conform(defects.Miscounts())
    assert "graders-never-raise" in {result.name for result in report.failed}, report.text()
    assert "it gave 0 scores for 1 completions" in report.text()


def test_a_group_grader_that_pays_the_best_of_the_wrong_is_found():
    report = conform(defects.PanelPaysEverybody())
    names = {result.name for result in report.failed}
    assert {"silence-is-not-paid", "another-answer-is-not-paid"} <= names, report.text()


def test_a_declared_chance_makes_yes_or_no_fair():
    spec = EnvironmentSpec(name="test/YesOrNo-v1", entry_point="", chance=0.5)
    report = conform(defects.YesOrNo(), spec=spec)
    assert report.ok, report.text()


def test_only_a_declared_field_makes_a_check_meaningless():
    declared = EnvironmentSpec(
        name="test/Sound-v1",
        entry_point="",
        has_reference=False,
        deterministic=False,
        splits=("train",),
    )
    reasons = {r.name: r.what for r in conform(defects.Sound(), spec=declared).results if r.what}
    assert reasons["reference-earns-the-maximum"] == "the spec declares has_reference=False"
    assert reasons["same-answer-same-reward"] == "the spec declares deterministic=False"
    assert reasons["splits-share-no-prompt"] == "the spec declares a single split"
    by_default = conform(defects.Sound())
    assert {r.name for r in by_default.results if r.state == "n/a"} == {
        "declared-size-is-true",
        "conversations-only-grow",
    }


def test_an_environment_defined_in_a_function_is_checked_in_a_fork():
    class Local(SingleTurnEnv):
        def sample(self, rng, difficulty):
            a, b = (int(n) for n in rng.integers(1_000, 100_000, size=2))
            return Task(prompt=f"What is {a} + {b}?", reference=str(a + b))

    report = conform(Local())
    assert report.ok, report.text()
    assert "forks of this process" in report.results[1].what


def test_partial_credit_for_a_probe_is_paid():
    class Generous(defects.Sound):
        def grade(self, task: Task, completion: str) -> float:
            return 1.0 if f">{task.reference}<" in completion else 0.3

    report = conform(Generous())
    names = {result.name for result in report.failed}
    assert {"silence-is-not-paid", "guesses-do-not-beat-chance", "prompt-is-not-paid"} <= names
    assert report.false_passes > 3_000
