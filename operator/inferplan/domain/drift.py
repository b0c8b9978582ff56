"""What a release makes of the arguments that an engine is given, where that differs from what they say."""

from dataclasses import dataclass
from enum import StrEnum

from inferplan.domain.serving import SettingValue


class Severity(StrEnum):
    """How bad a finding is: an error keeps the server from starting, a warning deceives, a notice is only said."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


class VersionSource(StrEnum):
    """Who says which version runs."""

    SPEC = "spec"  # its owner
    ENGINE = "engine"  # a ready pod with these arguments, on /version
    IMAGE = "image"  # the image's tag


@dataclass(frozen=True)
class Mend:
    """One change that mends a finding.

    Attributes:
        key: The setting.
        flag: Its flag, for people; None where the engine has none any more.
        current: The setting's value where it could be read.
        value: Its new value; None takes the flag out.
    """

    key: str
    flag: str | None
    current: SettingValue | None
    value: SettingValue | None


@dataclass(frozen=True)
class DriftFinding:
    """One finding.

    Attributes:
        code: Its kind in CamelCase: Refused, ValueRefused, WithoutEffect, AtDefault …
        severity: How bad it is.
        flag: As its author wrote it.
        reason: One sentence for people.
        mends: Changes that mend it; empty where a person has to decide.
    """

    code: str
    severity: Severity
    flag: str
    reason: str
    mends: tuple[Mend, ...] = ()


@dataclass(frozen=True)
class Drift:
    """What the arguments were compared with, and what was found.

    Attributes:
        findings: In the order of the arguments.
        release: The known release whose parser was asked; None where the version is not known.
        exact: Whether that is the very version that runs.
        source: Who says which version runs; None where nobody does.
    """

    findings: tuple[DriftFinding, ...] = ()
    release: str | None = None
    exact: bool = False
    source: VersionSource | None = None
