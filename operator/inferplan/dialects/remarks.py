"""Everything that is wrong with a container's arguments in one list: drift, and what the release does not do. Pure."""

from collections.abc import Mapping

from inferplan.dialects import constraints
from inferplan.dialects.constraints import Violation, violations
from inferplan.dialects.drift import Finding, findings
from inferplan.dialects.grammar import Meaning
from inferplan.dialects.keys import flag_name, key_for
from inferplan.dialects.reading import Reading
from inferplan.domain.drift import Severity
from inferplan.domain.hardware import Accelerator
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig

_BROKEN = {
    constraints.Severity.REFUSED: (Severity.ERROR, "NotSupported"),
    constraints.Severity.IGNORED: (Severity.WARNING, "WithoutEffect"),
    constraints.Severity.RISKY: (Severity.WARNING, "Risky"),
}


def remarks(
    reading: Reading,
    running: ServingConfig,
    accelerator: Accelerator,
    environment: Mapping[str, str | None],
    model: ModelCard | None = None,
) -> tuple[Finding, ...]:
    """What is wrong, in the order of the arguments.

    Args:
        reading: What is set.
        running: What is set, and the version's defaults.
        accelerator: The GPUs.
        environment: Variables of the engine's process; None where a value is not known.
        model: The model's geometry, None where it is not known.
    """
    broken: tuple[Violation, ...] = ()
    if reading.complete:  # an argument that cannot be seen may be the one that makes it right
        broken = violations(running, accelerator, model, unknown=reading.unknown, environment=environment)
    found = [*findings(reading), *(_of_violation(reading, entry) for entry in broken)]
    last = len(reading.launch.words)
    return tuple(sorted(found, key=lambda one: last if one.word is None else one.word))


def _of_violation(reading: Reading, entry: Violation) -> Finding:
    severity, code = _BROKEN[entry.severity]
    key, flag, word = _place(reading, entry)
    return Finding(code, severity, flag, key, entry.reason, word)


def _place(reading: Reading, entry: Violation) -> tuple[str, str, int | None]:
    """The first of the settings involved that stands among the arguments; else the first one."""
    engine = reading.launch.engine
    given = {
        key_for(engine, argument.meaning.flag.dest): argument
        for argument in reading.scanned.arguments
        if isinstance(argument.meaning, Meaning)
    }
    for key in entry.keys:
        if key in given:
            return key, given[key].name, given[key].words[0]
    key = entry.keys[0]
    return key, flag_name(engine, key) or key, None
