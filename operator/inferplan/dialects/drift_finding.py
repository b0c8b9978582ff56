"""What can be wrong with an argument under a release, and how it is said. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from inferplan.dialects.grammar import Meaning
from inferplan.dialects.keys import key_for
from inferplan.dialects.reading import Reading
from inferplan.dialects.scan import Argument
from inferplan.domain.drift import Severity
from inferplan.domain.serving import SettingValue


class Drift(StrEnum):
    """What is wrong with an argument."""

    REFUSED = "Refused"  # the release has no such flag: the server does not start
    VALUE_REFUSED = "ValueRefused"  # the flag does not take this value: the server does not start
    AMBIGUOUS = "Ambiguous"  # a prefix of several flags: the server does not start
    UNKNOWN = "Unknown"  # no known release has it
    IGNORED = "Ignored"  # the release drops it without a word
    OVERRIDDEN = "Overridden"  # a later one of the same flag wins
    AT_DEFAULT = "AtDefault"  # says what the release does anyway
    REMOVED_LATER = "RemovedLater"  # a newer release has it no more
    DEPRECATED = "Deprecated"  # still taken, with a warning


_SEVERITIES = {
    Drift.REFUSED: Severity.ERROR,
    Drift.VALUE_REFUSED: Severity.ERROR,
    Drift.AMBIGUOUS: Severity.ERROR,
    Drift.UNKNOWN: Severity.ERROR,
    Drift.IGNORED: Severity.WARNING,
    Drift.OVERRIDDEN: Severity.WARNING,
    Drift.AT_DEFAULT: Severity.NOTICE,
    Drift.REMOVED_LATER: Severity.NOTICE,
    Drift.DEPRECATED: Severity.NOTICE,
}


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        code: What is wrong: a Drift, or NotSupported, WithoutEffect, Risky (remarks.py).
        severity: How bad it is.
        flag: As its author wrote it.
        key: The setting.
        reason: One sentence for people.
        word: Its place among the engine's words; None where it stands in none of them.
        fix: Changes that mend it, by key; empty where a person has to decide.
    """

    code: str
    severity: Severity
    flag: str
    key: str
    reason: str
    word: int | None = None
    fix: Mapping[str, SettingValue | None] = field(default_factory=dict)


def release_name(reading: Reading) -> str:
    """The release by whose parser the arguments are judged, for people."""
    known = reading.grammar.basis
    if known is None:
        return f"{reading.launch.engine}"
    near = "" if known.exact else f" (the nearest known to {known.version})"
    return f"{reading.launch.engine} {known.release.version}{near}"


def finding_of(
    reading: Reading,
    code: Drift,
    argument: Argument,
    reason: str,
    fix: Mapping[str, SettingValue | None] | None = None,
) -> Finding:
    """A finding about one argument."""
    meaning = argument.meaning
    dest = meaning.flag.dest if isinstance(meaning, Meaning) else argument.name.lstrip("-").replace("-", "_")
    key = key_for(reading.launch.engine, dest)
    return Finding(code, _SEVERITIES[code], argument.name, key, reason, argument.words[0], fix or {})
