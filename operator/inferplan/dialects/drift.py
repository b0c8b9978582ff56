"""What an engine's release makes of the arguments it is given: refused, ignored, renamed, without effect. Pure.

A server that runs with old arguments and a new image keeps running until its next start, and then does not start.
"""

import difflib
from dataclasses import replace

from inferplan.api.values import Engine
from inferplan.dialects.drift_finding import Drift, Finding, finding_of, release_name
from inferplan.dialects.drift_values import dropped_key, refused_values, start_findings
from inferplan.dialects.grammar import Ambiguous, Meaning
from inferplan.dialects.keys import key_for, spelling_of
from inferplan.dialects.programs import Entry
from inferplan.dialects.reading import Reading
from inferplan.dialects.registry import FlagKind, FlagSpec, Release, releases
from inferplan.dialects.registry_history import Successor, history, renamed
from inferplan.dialects.scan import Argument
from inferplan.dialects.values import read_values
from inferplan.dialects.version_order import version_number
from inferplan.domain.drift import Severity
from inferplan.domain.serving import SettingValue

__all__ = ["Drift", "Finding", "Severity", "findings"]


def findings(reading: Reading) -> tuple[Finding, ...]:
    """What the running release makes of its arguments, in their order.

    Without a known version only what no release has is found.
    """
    found = [
        *(_argument(reading, number) for number in range(len(reading.scanned.arguments))),
        *refused_values(reading),
        *start_findings(reading),
        *(dropped_key(key) for key in reading.dropped),
    ]
    seen: set[tuple[int | None, str, str]] = set()
    unique = [one for one in found if one is not None and not (_mark(one) in seen or seen.add(_mark(one)))]  # type: ignore[func-returns-value]
    return tuple(sorted(unique, key=lambda one: len(reading.launch.words) if one.word is None else one.word))


def _mark(finding: Finding) -> tuple[int | None, str, str]:
    return finding.word, finding.code, finding.key


def _argument(reading: Reading, number: int) -> Finding | None:
    """The first thing that is wrong with one argument."""
    argument = reading.scanned.arguments[number]
    match argument.meaning:
        case None:
            return _unknown(reading, argument)
        case Ambiguous(names):
            why = f"{argument.name} is short for {' and '.join(names[:3])}; {release_name(reading)} refuses it"
            return finding_of(reading, Drift.AMBIGUOUS, argument, why)
        case Meaning(refused=True):
            return _refused(reading, argument, argument.meaning.flag)
        case Meaning(flag=flag) if flag.serve_only and reading.launch.entry is Entry.API_SERVER:
            why = f"only `vllm serve` has {argument.name} in {release_name(reading)}: the server does not start"
            fix = {key_for(reading.launch.engine, flag.dest): None}
            return finding_of(reading, Drift.REFUSED, argument, why, fix)
        case Meaning(flag=flag) if _is_overridden(reading, number, flag):
            return finding_of(
                reading, Drift.OVERRIDDEN, argument, f"{argument.name} is given again further on; that one counts"
            )
        case Meaning(flag=flag):
            return _quiet(reading, argument, flag)


def _unknown(reading: Reading, argument: Argument) -> Finding | None:
    if reading.launch.entry in {Entry.OTHER_FRONT, Entry.LEGACY}:
        return None  # these have flags of their own
    near = difflib.get_close_matches(argument.name, _spellings(reading), n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    why = f"{argument.name}: no known release of {reading.launch.engine} has this flag{meant}"
    return finding_of(reading, Drift.UNKNOWN, argument, why)


def _spellings(reading: Reading) -> list[str]:
    return [name for flag in reading.grammar.releases[0].flags for name in (*flag.names, *flag.negations)]


def _refused(reading: Reading, argument: Argument, flag: FlagSpec) -> Finding:
    """A flag that other releases have: when it came or went, and what took its place."""
    spelling = history(reading.launch.engine, _dashed(argument.name)) or history(reading.launch.engine, flag.names[0])
    span = f"; it is known in {spelling.spans(releases(reading.launch.engine))}" if spelling is not None else ""
    heir = renamed(reading.launch.engine, flag.names[0])
    instead = f"; use {heir.new} instead" if heir is not None and heir.new else ""
    told = f"{release_name(reading)} has no {argument.name}{span}{instead}"
    if _is_between(reading, argument):
        why = f"{told}; whether {reading.config.version} has it is not known"
        return replace(finding_of(reading, Drift.REFUSED, argument, why), severity=Severity.WARNING)
    why = f"{told}: the server does not start"
    return finding_of(reading, Drift.REFUSED, argument, why, _without_refused(reading, flag, heir))


def _is_between(reading: Reading, argument: Argument) -> bool:
    """Whether the version lies between a known release that refuses the flag and one that has it."""
    known = reading.grammar.basis
    if known is None or known.also is None or known.also.find(_dashed(argument.name)) is None:
        return False
    wanted, newest = version_number(known.version), version_number(releases(reading.launch.engine)[-1])
    return wanted is not None and newest is not None and wanted < newest


def _without_refused(reading: Reading, flag: FlagSpec, heir: Successor | None) -> dict[str, SettingValue | None]:
    """Changes that say the same without the flag; none where a person has to choose.

    What nothing took the place of, and what is so anyway unless its opposite is given, is taken out.
    """
    key, known = key_for(reading.launch.engine, flag.dest), reading.grammar.release
    if heir is None or not heir.names or heir.negated:
        return {key: None}
    value = reading.config.value(key)
    successor = _plain_successor(known, heir)
    if successor is None or value is None or {flag.kind, successor.kind} != {FlagKind.VALUE} or flag.nargs is not None:
        return {}
    new = key_for(reading.launch.engine, successor.dest)
    return {key: None} if new in reading.config.settings or new in reading.unknown else {key: None, new: value}


def _plain_successor(known: Release | None, heir: Successor) -> FlagSpec | None:
    """The one flag that is the old one under a new name: where there is nothing more to say of the difference."""
    if known is None or len(heir.names) != 1 or heir.note:
        return None
    found = known.find(heir.names[0])
    return found[0] if found is not None and not found[1] else None


def _dashed(name: str) -> str:
    return name.replace("_", "-") if name.startswith("--") else name


def _is_overridden(reading: Reading, number: int, flag: FlagSpec) -> bool:
    later = reading.scanned.arguments[number + 1 :]
    own = reading.scanned.arguments[number]
    if flag.kind is FlagKind.APPEND or own.path:
        return False
    return any(
        isinstance(other.meaning, Meaning) and other.meaning.flag.dest == flag.dest and not other.path
        for other in later
    )


def _quiet(reading: Reading, argument: Argument, flag: FlagSpec) -> Finding | None:
    """A flag that is taken and does nothing, or that a newer release has no more."""
    if flag.dest == "config" and argument.joined is not None and reading.launch.engine is Engine.VLLM:
        why = f"{argument.name}=… with an equals sign is not read: vLLM looks for --config and the file as two words"
        return finding_of(reading, Drift.IGNORED, argument, why)
    if reading.grammar.basis is None:
        return None
    gone = _gone_later(reading, argument, flag)
    if gone is None and _is_default(reading, argument, flag):
        why = f"{argument.name} says what {release_name(reading)} does anyway"
        return finding_of(reading, Drift.AT_DEFAULT, argument, why)
    return gone


def _is_default(reading: Reading, argument: Argument, flag: FlagSpec) -> bool:
    setting = reading.config.settings.get(key_for(reading.launch.engine, flag.dest))
    if setting is None or flag.default is None or argument.path or flag.dest in {"model", "model_path", "model_id"}:
        return False
    spelling = spelling_of(reading.launch.engine, key_for(reading.launch.engine, flag.dest))
    value = not setting.value if spelling is not None and spelling.inverted else setting.value
    if isinstance(value, bool):
        return flag.default == str(value)
    try:
        return value == read_values(flag, (flag.default,), negated=False, takes_value=True)
    except ValueError:
        return False


def _gone_later(reading: Reading, argument: Argument, flag: FlagSpec) -> Finding | None:
    known = reading.grammar.basis
    spelling = history(reading.launch.engine, _dashed(argument.name)) or history(reading.launch.engine, flag.names[0])
    if known is None or spelling is None or spelling.gone is None or not known.exact:
        return None
    heir = renamed(reading.launch.engine, flag.names[0])
    instead = f"; {heir.new} takes its place" if heir is not None and heir.new else ""
    gone = f"{argument.name} is gone in {reading.launch.engine} {spelling.gone}{instead}"
    why = f"{gone}: after that upgrade the server does not start"
    return finding_of(reading, Drift.REMOVED_LATER, argument, why)
