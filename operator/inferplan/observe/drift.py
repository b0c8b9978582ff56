"""What a reading of the engine's arguments says of the release that runs: findings, and notes for people. Pure."""

from inferplan.api.reasons import Reason
from inferplan.dialects.drift import Finding
from inferplan.dialects.effective import effective
from inferplan.dialects.keys import flag_name
from inferplan.dialects.masking import Masker, masked
from inferplan.dialects.reading import Reading
from inferplan.dialects.remarks import remarks
from inferplan.dialects.report import environment_of
from inferplan.dialects.words import Unreadable
from inferplan.domain.drift import Drift, DriftFinding, Mend, VersionSource
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard


def drift_of(
    reading: Reading | Unreadable, accelerator: Accelerator, model: ModelCard | Missing, source: VersionSource | None
) -> Drift | Missing:
    """What the release that runs makes of its arguments.

    Args:
        reading: The arguments, or why they were not read.
        accelerator: The GPUs; some settings need newer ones.
        model: The model's geometry; some settings depend on its length.
        source: Who says which version runs.
    """
    if isinstance(reading, Unreadable):
        return Missing(Reason.ARGUMENTS_UNREADABLE, reading.reason)
    known, environment = reading.grammar.basis, environment_of(reading)
    running, card = reading.config, None if isinstance(model, Missing) else model
    if reading.complete:
        running = effective(running, accelerator, reading.unknown, model=card, environment=environment)
    found = map(Masker(reading).remark, remarks(reading, running, accelerator, environment, card))
    return Drift(
        findings=tuple(_finding(reading, remark) for remark in found),
        release=known.release.version if known is not None else None,
        exact=known is not None and known.exact,
        source=source,
    )


def _finding(reading: Reading, found: Finding) -> DriftFinding:
    mends = (
        Mend(
            key=key,
            flag=found.flag if value is None else flag_name(reading.launch.engine, key),
            current=masked(key, reading.config.value(key)),
            value=value,
        )
        for key, value in found.fix.items()
    )
    return DriftFinding(str(found.code), found.severity, found.flag, found.reason, tuple(mends))


def notes_on(reading: Reading) -> tuple[str, ...]:
    """What a reader of the settings should know: a release that is only near, a start under a condition."""
    known, condition = reading.grammar.basis, reading.launch.condition
    notes: list[str] = []
    if known is not None and not known.exact:
        release = f"{reading.launch.engine} {known.release.version}"
        notes.append(f"flags of {release}, the nearest known release to {known.version}")
    if condition:
        notes.append(f"the engine is started only under a condition: {condition}")
    return tuple(notes)
