"""Which of a list of requirements are not installed, and the pip line that mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from palestra.errors import PluginError


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet:
    """A requirement that is not satisfied here.

    Attributes:
        requirement: as pip takes it, ``"sympy>=1.12"``.
        installed: the version that is installed, "" where none is.
    """

    requirement: str
    installed: str

    @property
    def reason(self) -> str:
        """As errors say it: ``sympy>=1.12, and 1.10 is installed``."""
        have = f"and {self.installed} is installed" if self.installed else "which is not installed"
        return f"{self.requirement}, {have}"


def unmet(requirements: Iterable[str]) -> list[Unmet]:
    """Return the requirements that are not satisfied; those for other platforms do not count.

    Raises:
        PluginError: one is no requirement.
    """
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import InvalidRequirement, Requirement

    missing: list[Unmet] = []
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as exc:
            raise PluginError(f"requires '{text}': {exc}") from exc
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        bare = text.partition(";")[0].strip()
        try:
            have = version(requirement.name)
        except PackageNotFoundError:
            missing.append(Unmet(requirement=bare, installed=""))
            continue
        if not requirement.specifier.contains(have, prereleases=True):
            missing.append(Unmet(requirement=bare, installed=have))
    return missing


def pip_line(missing: Iterable[Unmet]) -> str:
    """Return the sentence that mends it: ``Run: pip install 'sympy>=1.12'``."""
    return "Run: pip install " + " ".join(f"'{each.requirement}'" for each in missing)
