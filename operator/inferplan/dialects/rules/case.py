"""What a rule is asked about, and what it answers. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from inferplan.dialects.registry import Release
from inferplan.dialects.situation import Situation
from inferplan.domain.serving import Origin


class Severity(StrEnum):
    """What becomes of the configuration."""

    REFUSED = "refused"  # the server does not start
    IGNORED = "ignored"  # the setting has no effect
    RISKY = "risky"  # the server starts, but


@dataclass(frozen=True)
class Violation:
    """One thing that an engine does not do as it is told.

    Attributes:
        severity: What becomes of the configuration.
        keys: Settings that are involved, the one to change first.
        reason: One sentence for people, with the numbers.
        source: Where the engine says so: file, function and releases.
    """

    severity: Severity
    keys: tuple[str, ...]
    reason: str
    source: str


@dataclass(frozen=True)
class Case:
    """A configuration under one known release.

    Attributes:
        situation: Settings with their defaults, GPUs, model, environment.
        release: The release's flags, None where they are not known.
        given: Keys that somebody set, in whatever way.
    """

    situation: Situation
    release: Release | None = None
    given: frozenset[str] = field(default_factory=frozenset)

    def explicit(self, key: str) -> bool:
        """Whether somebody set it, as opposed to a default."""
        setting = self.situation.config.settings.get(key)
        return key in self.given or (setting is not None and setting.origin is not Origin.VERSION_DEFAULT)


Rule = Callable[[Case], Violation | None]
"""A rule: what is wrong, or None. It raises NotKnownError where it needs what is not known."""


def refused(keys: tuple[str, ...], reason: str, source: str) -> Violation:
    """The server does not start."""
    return Violation(Severity.REFUSED, keys, reason, source)


def ignored(keys: tuple[str, ...], reason: str, source: str) -> Violation:
    """The setting has no effect."""
    return Violation(Severity.IGNORED, keys, reason, source)


def risky(keys: tuple[str, ...], reason: str, source: str) -> Violation:
    """The server starts, but."""
    return Violation(Severity.RISKY, keys, reason, source)
