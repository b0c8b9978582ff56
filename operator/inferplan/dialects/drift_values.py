"""Values and words that a release's parser or start command refuses, or drops without a word. Pure."""

from collections.abc import Iterator

from inferplan.api.values import Engine
from inferplan.dialects.drift_finding import Drift, Finding, finding_of, release_name
from inferplan.dialects.grammar import Meaning
from inferplan.dialects.keys import key_for
from inferplan.dialects.programs import Entry
from inferplan.dialects.reading import Reading
from inferplan.dialects.registry import FlagKind
from inferplan.dialects.scan import Argument
from inferplan.dialects.version_order import VersionNumber, version_number
from inferplan.dialects.words import UnreadableCode
from inferplan.domain.drift import Severity
from inferplan.domain.serving import SettingValue

_LAST_REFUSING_MODEL_FLAG = VersionNumber((0, 11))
"""Up to vLLM 0.11.0 `vllm serve --model M` is an error (vllm/utils, FlexibleArgumentParser.parse_args)."""


_FIRST_MINDING_THE_ORDER = VersionNumber((0, 17, 1))
"""Not in 0.16.0; the same function."""


def refused_values(reading: Reading) -> Iterator[Finding]:
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
            why = f"{problem.reason}: {release_name(reading)} does not start"
            yield finding_of(reading, Drift.VALUE_REFUSED, argument, why, _mended(reading, argument, argument.meaning))
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
    meaning = before.meaning if before is not None else None
    if text.lower() in {"true", "false"} and isinstance(meaning, Meaning) and meaning.flag.kind is FlagKind.SWITCH:
        value, name = (text.lower() == "true") is not meaning.negated, meaning.flag.names[0]
        why = f"{name} takes no value; {release_name(reading)} refuses the word {text} behind it"
        key = key_for(reading.launch.engine, meaning.flag.dest)
        yield Finding(Drift.VALUE_REFUSED, Severity.ERROR, name, key, why, index, {key: value})
        return
    why = f'"{text[:60]}" belongs to no flag; {release_name(reading)} refuses it'
    yield Finding(Drift.VALUE_REFUSED, Severity.ERROR, text[:60], f"word {index}", why, index)


def start_findings(reading: Reading) -> Iterator[Finding]:
    """What `vllm serve` minds and other start commands do not: where its model stands."""
    number = version_number(reading.grammar.basis.version if reading.grammar.basis is not None else None)
    if reading.launch.entry is not Entry.SERVE or reading.launch.engine is not Engine.VLLM or number is None:
        return
    given = {argument.name.replace("_", "-"): argument for argument in reading.scanned.arguments}
    named, served = given.get("--model"), given.get("--served-model-name")
    begins_with_flag = bool(reading.launch.words) and 0 not in reading.scanned.positionals
    who = f"`vllm serve` of {release_name(reading)}"
    if named is not None and number <= _LAST_REFUSING_MODEL_FLAG:
        why = f"{who} takes the model as its first word, not with --model: it does not start"
        yield finding_of(reading, Drift.REFUSED, named, why)
    elif named is not None:
        why = "`vllm serve` will take the model as its first word only; --model still works and warns"
        yield finding_of(reading, Drift.DEPRECATED, named, why)
    elif served is not None and begins_with_flag and "--config" not in given and number >= _FIRST_MINDING_THE_ORDER:
        why = f"{who} wants the model as its first word where --served-model-name is given: it does not start"
        yield finding_of(reading, Drift.REFUSED, served, why)


def dropped_key(key: str) -> Finding:
    """A key of a configuration file that the start command drops."""
    name = key.replace("-", "_")
    why = f"{key}: false in the configuration file is dropped by `vllm serve`; give --no-{key} as an argument"
    return Finding(Drift.IGNORED, Severity.WARNING, key, name, why, None, {name: False})
