"""Installing and uninstalling plugins as one step each: done, and proven to load, or undone.

    plan = make_plan(["calendar"])
    report = install(plan)

Nothing that is installed changes its version without `force`; a package that does not load, that
brings no plugin, or that breaks another plugin is taken back, and so is an installation that was
interrupted. What was there before is compared with what is there after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from palestra.errors import ConfigError, NotFound, PluginError, did_you_mean
from palestra.install.installed import Backup, brings_plugin, installed_versions
from palestra.install.installer import Installer, InstallerFailed, uninterrupted
from palestra.install.look import Seen, look_at_plugins
from palestra.install.targets import PREFIX, Target, read_target
from palestra.plugins.registry import LoadedPlugin, get_registry, reset_registry

PROTECTED = ("palestra", "torch", "transformers", "vllm")
"""What a plugin may never change on its own: each drags others along."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A distribution that gets another version; `before` is "" where it is new."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name} {self.before} -> {self.after}" if self.before else self.as_new

    @property
    def as_new(self) -> str:
        """Name and new version."""
        return f"{self.name} {self.after}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an installation would do.

    Attributes:
        targets: what was asked for.
        changes: what the installer would install, the targets too.
        before: what is installed now.
    """

    targets: tuple[Target, ...]
    changes: tuple[Change, ...]
    before: Mapping[str, str]

    @property
    def changed(self) -> list[Change]:
        """What is installed, was not asked for, and would get another version."""
        asked = {target.name for target in self.targets}
        return [c for c in self.changes if c.before not in ("", c.after) and c.name not in asked]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an installation did.

    Attributes:
        changes: what is another version than before, or new.
        plugins: the plugins that came with it.
        hidden: distributions whose plugins a variable of the environment keeps from loading.
    """

    changes: tuple[Change, ...]
    plugins: tuple[Seen, ...]
    hidden: tuple[str, ...]


# -- installing -----------------------------------------------------------------------------------


def make_plan(texts: Sequence[str], *, force: bool = False, say: Say = print) -> Plan:
    """Ask the installer what it would do; change nothing.

    Args:
        texts: names, short names (``chess`` for ``palestra-chess``), folders, wheels, addresses.
        force: let what is installed change its version.
        say: told, in a line, what a short name stands for.

    Raises:
        ConfigError: it cannot be had, or needs another version of what is installed.
    """
    before = installed_versions()
    targets = [read_target(text, before) for text in texts]
    installer = Installer()
    changes: Mapping[str, str] | None = None
    while changes is None:
        try:
            changes = _solve(installer, targets, before, force=force)
        except InstallerFailed as exc:
            short = next((t for t in targets if t.otherwise and t.name == exc.missing), None)
            if short is None:
                raise _not_found(exc, targets) if exc.missing else exc from None
            say(f"there is no {short.text}: looking for {short.otherwise} itself")
            targets[targets.index(short)] = short.as_typed()
    for text, target in zip(texts, targets, strict=True):
        if target.otherwise:
            say(f"{text} stands for {target.text}")
    plan = Plan(
        targets=tuple(targets),
        changes=tuple(
            Change(name=n, before=before.get(n, ""), after=v) for n, v in sorted(changes.items())
        ),
        before=before,
    )
    if not force:
        _refuse_changes(plan)
    return plan


def install(plan: Plan) -> Report:
    """Install what was planned, and see that it loads; otherwise leave all as it was.

    Raises:
        InstallerFailed: the installer failed.
        PluginError: the plugin is broken, there is none, or another one broke.
        KeyboardInterrupt: Ctrl-C; all is as it was.
    """
    healthy = {(p.distribution, p.name) for p in get_registry().plugins if p.state == "ok"}
    installer = Installer()
    backup = Backup(change.name for change in plan.changes if change.before)
    try:
        pins = {**plan.before, **{change.name: change.after for change in plan.changes}}
        installer.install([target.text for target in plan.targets], pins)
        return _check(plan, healthy)
    except BaseException:
        with uninterrupted():
            _undo(plan, installer, backup)
        raise
    finally:
        backup.forget()


def _solve(
    installer: Installer, targets: list[Target], before: Mapping[str, str], *, force: bool
) -> dict[str, str]:
    texts = [target.text for target in targets]
    asked = {target.name for target in targets}
    pins = {} if force else {n: v for n, v in before.items() if n not in asked}
    try:
        return installer.plan(texts, pins)
    except InstallerFailed as exc:
        if force or exc.missing or exc.offline:
            raise
        return _without_pins(installer, texts, before, exc)


def _without_pins(
    installer: Installer, texts: list[str], before: Mapping[str, str], failed: InstallerFailed
) -> dict[str, str]:
    """Say which installed versions are in the way; where none is, what the installer said."""
    try:
        free = installer.plan(texts, {})
    except InstallerFailed:
        raise failed from None
    asked = {read_target(text, before).name for text in texts}
    changed = [
        Change(name=n, before=before[n], after=v)
        for n, v in free.items()
        if n not in asked and before.get(n, v) != v
    ]
    if not changed:
        raise failed
    raise ConfigError(_in_the_way(changed, failed.reasons))


def _refuse_changes(plan: Plan) -> None:
    protected = [c for c in plan.changes if c.name in PROTECTED and c.before not in ("", c.after)]
    changed = list(dict.fromkeys([*plan.changed, *protected]))
    if changed:
        raise ConfigError(_in_the_way(changed, ()))


def _in_the_way(changed: Iterable[Change], reasons: Sequence[str]) -> str:
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return (
        f"this needs other versions of what is installed: {', '.join(map(str, changed))}{why}. "
        "Nothing was changed; --force changes them"
    )


def _not_found(failed: InstallerFailed, targets: Sequence[Target]) -> ConfigError:
    """Say that a package is not there, under neither name where a short one was typed."""
    if failed.offline or not any(target.name == failed.missing for target in targets):
        return failed
    short = f" (nor '{PREFIX}{failed.missing}')" if not failed.missing.startswith(PREFIX) else ""
    return NotFound(f"no package '{failed.missing}'{short} that fits this Python: {failed}")


def _check(plan: Plan, healthy: set[tuple[str, str]]) -> Report:
    """Look at the plugins anew: those that came must load, and no other may have broken."""
    after = installed_versions()
    changes = tuple(
        Change(name=n, before=plan.before.get(n, ""), after=v)
        for n, v in after.items()
        if plan.before.get(n) != v
    )
    named = {target.name for target in plan.targets if target.name}
    came = sorted(named | {change.name for change in plan.changes})
    plugged = {name for name in came if brings_plugin(name)}
    for name in sorted(named - plugged):
        raise PluginError(
            f"{name} brings no plugin: it has no entry point of the group 'palestra'. "
            "All is as it was; pip installs other packages"
        )
    if not plugged:
        raise PluginError("no package of these brings a plugin. All is as it was")
    plugins = look_at_plugins(anew=any(change.before for change in plan.changes))
    mine = [p for p in plugins if canonicalize_name(p.distribution) in plugged]
    for plugin in plugins:
        if plugin.state in ("ok", "blocked"):
            continue
        origin = f"{plugin.distribution} {plugin.version}"
        if plugin in mine:
            raise PluginError(f"{origin} does not load: {plugin.error}. All is as it was")
        if plugin.key in healthy:
            raise PluginError(f"with it {origin} breaks: {plugin.error}. All is as it was")
    seen = {canonicalize_name(p.distribution) for p in mine if p.state == "ok"}
    reset_registry()
    return Report(
        changes=changes,
        plugins=tuple(p for p in mine if p.state == "ok"),
        hidden=tuple(sorted(plugged - seen)),
    )


def _undo(plan: Plan, installer: Installer, backup: Backup) -> None:
    """Remove what came, put back what went, and prove it."""
    touched = {change.name for change in plan.changes}
    now = installed_versions()
    came = [n for n, v in now.items() if plan.before.get(n) != v or n in touched]
    failed = ""
    if came:
        try:
            installer.uninstall(came)
        except InstallerFailed as exc:
            failed = f" ({exc})"
    backup.restore()
    reset_registry()
    now = installed_versions()
    wrong = [n for n in {**now, **plan.before} if now.get(n) != plan.before.get(n)]
    if wrong:
        listed = ", ".join(
            f"{n} was {plan.before.get(n, 'not there')}, is {now.get(n, 'not there')}"
            for n in sorted(wrong)
        )
        raise PluginError(f"the installation failed and could not be undone: {listed}{failed}")


# -- uninstalling ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What uninstalling takes away.

    Attributes:
        distribution: what is uninstalled.
        version: its version.
        plugins: its plugins; every name that they bring is gone from recipes.
    """

    distribution: str
    version: str
    plugins: tuple[LoadedPlugin, ...]


def find_removal(name: str) -> Removal:
    """Return what `name`, a plugin or a distribution, stands for.

    Raises:
        NotFound: no plugin has the name.
        ConfigError: it is Palestra's own, no plugin, or several distributions have it.
    """
    plugins = [p for p in get_registry().plugins if p.distribution and p.path is None]
    wanted = {canonicalize_name(name), canonicalize_name(PREFIX + name)}
    owners = {canonicalize_name(p.distribution) for p in plugins if p.name == name}
    owners = owners or {d for p in plugins if (d := canonicalize_name(p.distribution)) in wanted}
    versions = installed_versions()
    owners = owners or {n for n in wanted if n in versions and brings_plugin(n)}
    if "palestra" in owners:
        whole = "that" if canonicalize_name(name) == "palestra" else f"'{name}'"
        raise ConfigError(f"{whole} is part of Palestra itself, which pip uninstalls")
    if len(owners) > 1:
        raise ConfigError(
            f"'{name}' is offered by {' and '.join(sorted(owners))}: name the distribution"
        )
    if not owners:
        if canonicalize_name(name) in versions:
            raise ConfigError(f"{name} is installed, but it is no plugin; pip uninstalls it")
        known = {p.name for p in plugins} | {p.distribution for p in plugins}
        raise NotFound(f"no plugin '{name}'.{did_you_mean(name, known)} See: palestra plugins ls")
    owner = owners.pop()
    mine = tuple(p for p in plugins if canonicalize_name(p.distribution) == owner)
    return Removal(distribution=owner, version=versions.get(owner, ""), plugins=mine)


def uninstall(removal: Removal) -> None:
    """Uninstall it, and see that it is gone.

    Raises:
        InstallerFailed: the installer failed.
        PluginError: it is still there, as a package outside this environment is.
    """
    Installer().uninstall([removal.distribution])
    reset_registry()
    if removal.distribution in installed_versions():
        raise PluginError(
            f"{removal.distribution} is still there: it was installed outside this environment"
        )
