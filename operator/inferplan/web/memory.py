"""What was seen of an instance, and remembered for a while: `analyze`, then `optimize` uses it. Knows no framework."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from inferplan.domain.measurement import Measured
from inferplan.domain.observation import METRIC_FIELDS, Metrics, ReplicaMetrics

ENTRIES_MAX = 256
"""Instances that are remembered; with more, the one that was seen longest ago is forgotten."""

_SOURCE_MAX = 4000  # evidence holds 4096 characters

MINUTES_MAX = 15
"""How long: the window that an instance's metrics have by default."""


@dataclass(frozen=True)
class Sighting:
    """What was seen of an instance at one time.

    Attributes:
        source: Where the measurements come from, for people.
        metrics: The measurements.
        observed_at: When they were made; None where the request states them and not their time.
        replica_metrics: The replicas side by side.
        replicas: How many there are; None where it is not known.
        version: Engine version that the engine said.
        model: Name under which it serves its model.
        notes: What a reader of the numbers should know.
    """

    source: str
    metrics: Metrics
    observed_at: datetime | None = None
    replica_metrics: tuple[ReplicaMetrics, ...] = ()
    replicas: int | None = None
    version: str | None = None
    model: str | None = None
    notes: tuple[str, ...] = ()


class InstanceId(NamedTuple):
    """An instance as requests name it."""

    instance_id: str
    instance_type: str


class Remembered(NamedTuple):
    """A sighting, and when it was put here."""

    sighting: Sighting
    since: datetime

    def seconds(self, now: datetime) -> float:
        """Its age: since it was made where that is known, since it was put here where not."""
        return max(0.0, (now - (self.sighting.observed_at or self.since)).total_seconds())


class SightingMemory:
    """The newest sightings, a bounded number for a bounded time; nothing of it outlives the process."""

    def __init__(self) -> None:
        self._sightings: OrderedDict[InstanceId, Remembered] = OrderedDict()

    def put(self, instance: InstanceId, sighting: Sighting, now: datetime) -> None:
        """Remembers a sighting that measured something, in place of an older one."""
        if not sighting.metrics.measured():
            return
        self._sightings.pop(instance, None)
        self._sightings[instance] = Remembered(sighting, now)
        if len(self._sightings) > ENTRIES_MAX:
            self._sightings.popitem(last=False)

    def get(self, instance: InstanceId, now: datetime) -> Remembered | None:
        """The newest sighting, if it is young enough to act on."""
        found = self._sightings.get(instance)
        if found is None:
            return None
        if found.seconds(now) > timedelta(minutes=MINUTES_MAX).total_seconds():
            del self._sightings[instance]
            return None
        return found


def aged(metrics: Metrics, seconds: float) -> Metrics:
    """The same measurements; each one's source says how long ago it was seen."""
    suffix = f", seen by analyze {seconds:.0f} s ago"

    def older(value: object) -> object:
        if not isinstance(value, Measured):
            return value
        return replace(
            value, source=value.source[:_SOURCE_MAX] + suffix, age_seconds=(value.age_seconds or 0.0) + seconds
        )

    plain = {name: older(getattr(metrics, name)) for name in METRIC_FIELDS}
    targets = tuple((name, older(value)) for name, value in metrics.slo_milliseconds)
    return replace(metrics, **plain, slo_milliseconds=targets)  # type: ignore[arg-type]  # values stay what they were
