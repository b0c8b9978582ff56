"""What an engine's release makes of the arguments it is given: refused, ignored, renamed, without effect. Pure.

A server that runs with old arguments and a new image keeps running until its next start, and then does not start.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from inferplan.api.values import Engine
from inferplan.dialects.grammar import Ambiguous, Meaning
from inferplan.dialects.keys import key_for, spelling_of
from inferplan.dialects.programs import Entry
from inferplan.dialects.reading import Reading
from inferplan.dialects.registry import FlagKind, FlagSpec, Release, releases
from inferplan.dialects.registry_history import Successor, history, renamed
from inferplan.dialects.scan import Argument
from inferplan.dialects.values import read_values
from inferplan.dialects.version_order import VersionNumber, version_number
from inferplan.dialects.words import UnreadableCode
from inferplan.domain.serving import SettingValue

_LAST_REFUSING_MODEL_FLAG = VersionNumber((0, 11))
"""Up to vLLM 0.11.0 `vllm serve --model M` is an error (vllm/utils, FlexibleArgumentParser.parse_args)."""


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


class Severity(StrEnum):
    """How bad a finding is: an error keeps the server from starting, a warning deceives, a notice is only said."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


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
        code: What is wrong.
        severity: How bad it is.
        flag: As its author wrote it.
        key: The setting.
        reason: One sentence for people.
        word: Its place among the engine's words; None where it stands in none of them.
        fix: Changes that mend it, by key; empty where a person has to decide.
    """

    code: Drift
    severity: Severity
    flag: str
    key: str
    reason: str
    word: int | None = None
    fix: Mapping[str, SettingValue | None] = field(default_factory=dict)


def findings(reading: Reading) -> tuple[Finding, ...]:
    """What the running release makes of its arguments, in their order.

    Without a known version only what no release has is found.
    """
    found = [
        *(_argument(reading, number) for number in range(len(reading.scanned.arguments))),
        *_values(reading),
        *_entry(reading),
        *(_dropped(key) for key in reading.dropped),
    ]
    seen: set[tuple[int | None, Drift, str]] = set()
    unique = [one for one in found if one is not None and not (_mark(one) in seen or seen.add(_mark(one)))]  # type: ignore[func-returns-value]
    return tuple(sorted(unique, key=lambda one: len(reading.launch.words) if one.word is None else one.word))


def _mark(finding: Finding) -> tuple[int | None, Drift, str]:
    return finding.word, finding.code, finding.key


def _name(reading: Reading) -> str:
    known = reading.grammar.basis
    if known is None:
        return f"{reading.launch.engine}"
    near = "" if known.exact else f" (the nearest known to {known.version})"
    return f"{reading.launch.engine} {known.release.version}{near}"


def _argument(reading: Reading, number: int) -> Finding | None:
    """The first thing that is wrong with one argument."""
    argument = reading.scanned.arguments[number]
    match argument.meaning:
        case None:
            return _unknown(reading, argument)
        case Ambiguous(names):
            why = f"{argument.name} is short for {' and '.join(names[:3])}; {_name(reading)} refuses it"
            return _finding(reading, Drift.AMBIGUOUS, argument, why)
        case Meaning(refused=True):
            return _refused(reading, argument, argument.meaning.flag)
        case Meaning(flag=flag) if _is_overridden(reading, number, flag):
            return _finding(
                reading, Drift.OVERRIDDEN, argument, f"{argument.name} is given again further on; that one counts"
            )
        case Meaning(flag=flag):
            return _quiet(reading, argument, flag)


def _finding(
    reading: Reading,
    code: Drift,
    argument: Argument,
    reason: str,
    fix: Mapping[str, SettingValue | None] | None = None,
) -> Finding:
    meaning = argument.meaning
    dest = meaning.flag.dest if isinstance(meaning, Meaning) else argument.name.lstrip("-").replace("-", "_")
    key = key_for(reading.launch.engine, dest)
    return Finding(code, _SEVERITIES[code], argument.name, key, reason, argument.words[0], fix or {})


def _unknown(reading: Reading, argument: Argument) -> Finding | None:
    if reading.launch.entry in {Entry.OTHER_FRONT, Entry.LEGACY}:
        return None  # these have flags of their own
    why = f"{argument.name}: no known release of {reading.launch.engine} has this flag"
    return _finding(reading, Drift.UNKNOWN, argument, why)


def _refused(reading: Reading, argument: Argument, flag: FlagSpec) -> Finding:
    """A flag that other releases have: when it came or went, and what took its place."""
    spelling = history(reading.launch.engine, _dashed(argument.name)) or history(reading.launch.engine, flag.names[0])
    span = f"; it is known from {spelling.first} to {spelling.last}" if spelling is not None else ""
    heir = renamed(reading.launch.engine, flag.names[0])
    instead = f"; use {heir.new} instead" if heir is not None and heir.new else ""
    told = f"{_name(reading)} has no {argument.name}{span}{instead}"
    if _is_between(reading, argument):
        why = f"{told}; whether {reading.config.version} has it is not known"
        return replace(_finding(reading, Drift.REFUSED, argument, why), severity=Severity.WARNING)
    why = f"{told}: the server does not start"
    return _finding(reading, Drift.REFUSED, argument, why, _without_refused(reading, flag, heir))


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
        return _finding(reading, Drift.IGNORED, argument, why)
    if reading.grammar.basis is None:
        return None
    gone = _gone_later(reading, argument, flag)
    if gone is None and _is_default(reading, argument, flag):
        why = f"{argument.name} says what {_name(reading)} does anyway"
        return _finding(reading, Drift.AT_DEFAULT, argument, why)
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
    return _finding(reading, Drift.REMOVED_LATER, argument, why)


def _values(reading: Reading) -> Iterator[Finding]:
    """Arguments whose value the parser refuses."""
    if reading.grammar.basis is None:
        return
    problems = {entry.key: entry for entry in reading.unreadable if entry.code is UnreadableCode.VALUE}
    for argument in reading.scanned.arguments:
        if not isinstance(argument.meaning, Meaning) or argument.meaning.refused:
            continue
        key = key_for(reading.launch.engine, argument.meaning.flag.dest)
        problem = problems.get(key)
        if problem is not None and problem.where.endswith(argument.name):
            why = f"{problem.reason}: {_name(reading)} does not start"
            yield _finding(reading, Drift.VALUE_REFUSED, argument, why, _mended(reading, argument, argument.meaning))
    for index in reading.scanned.positionals[0 if reading.launch.entry is Entry.API_SERVER else 1 :]:
        text = reading.launch.words[index].text
        yield from _stray(reading, index, text)


def _mended(reading: Reading, argument: Argument, meaning: Meaning) -> dict[str, SettingValue | None]:
    """`--enable-x=False` → the spelling that says so."""
    said = next(iter(argument.values(reading.launch.words)), "").lower()
    if meaning.flag.kind is not FlagKind.SWITCH or said not in {"true", "false"}:
        return {}
    value = (said == "true") is not meaning.negated
    return {key_for(reading.launch.engine, meaning.flag.dest): value}


def _stray(reading: Reading, index: int, text: str) -> Iterator[Finding]:
    """A word that belongs to no flag; behind a switch it was meant as the switch's value."""
    if reading.launch.engine is Engine.TGI or reading.launch.words[index].unknown:
        return
    before = next((entry for entry in reading.scanned.arguments if entry.words[-1] == index - 1), None)
    if text.lower() in {"true", "false"} and before is not None and isinstance(before.meaning, Meaning):
        value = (text.lower() == "true") is not before.meaning.negated
        why = f"{before.name} takes no value; {_name(reading)} refuses the word {text} behind it"
        key = key_for(reading.launch.engine, before.meaning.flag.dest)
        yield Finding(Drift.VALUE_REFUSED, Severity.ERROR, before.name, key, why, index, {key: value})
        return
    why = f'"{text[:60]}" belongs to no flag; {_name(reading)} refuses it'
    yield Finding(Drift.VALUE_REFUSED, Severity.ERROR, text[:60], f"word {index}", why, index)


def _entry(reading: Reading) -> Iterator[Finding]:
    """What `vllm serve` minds and other start commands do not."""
    if reading.launch.entry is not Entry.SERVE or reading.launch.engine is not Engine.VLLM:
        return
    named = [argument for argument in reading.scanned.arguments if argument.name == "--model"]
    number = version_number(reading.grammar.basis.version if reading.grammar.basis is not None else None)
    if named and number is not None and number <= _LAST_REFUSING_MODEL_FLAG:
        why = f"`vllm serve` of {_name(reading)} takes the model as its first word, not with --model: it does not start"
        yield _finding(reading, Drift.REFUSED, named[0], why)
    elif named and number is not None:
        why = "`vllm serve` will take the model as its first word only; --model still works and warns"
        yield _finding(reading, Drift.DEPRECATED, named[0], why)


def _dropped(key: str) -> Finding:
    name = key.replace("-", "_")
    why = f"{key}: false in the configuration file is dropped by `vllm serve`; give --no-{key} as an argument"
    return Finding(Drift.IGNORED, Severity.WARNING, key, name, why, None, {name: False})
