"""A Prometheus as a source of metrics: present readings out of the fleet's snapshot, past hours beside them."""

from dataclasses import replace

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import History
from inferplan.domain.readings import Readings
from inferplan.observe.fleet import FleetReader
from inferplan.observe.fleet_part import Asked, PodIdentity
from inferplan.observe.history import HistoryReader
from inferplan.observe.meter import Wanted
from inferplan.observe.prometheus_types import PrometheusError
from inferplan.observe.reduce import HISTORY_MIN_SECONDS


class FleetMeter:
    """Measures instances by one Prometheus. Implements `Meter`.

    Args:
        name: The administrator's name of the source.
        reader: Present readings.
        hours: Past hours.
    """

    def __init__(self, name: str, reader: FleetReader, hours: HistoryReader) -> None:
        self._reader = reader
        self._hours = hours
        self._name = name

    @property
    def least_seconds(self) -> float:
        """Rates of a Prometheus rest on one sample for each scrape."""
        return HISTORY_MIN_SECONDS

    async def readings(self, wanted: Wanted) -> Readings | Missing:
        """The instance's part of what was read within the last minute."""
        try:
            snapshot = await self._reader.read(wanted.window_seconds, frozenset(wanted.selector), wanted.targets)
        except PrometheusError as error:
            return Missing(Reason.PROMETHEUS_ERROR, f'Prometheus "{self._name}": {error}')
        found = snapshot.readings(asked_of(wanted))
        if isinstance(found, Missing) and found.code is Reason.METRICS_MISSING:
            return replace(found, reason=f'{found.reason} in Prometheus "{self._name}"')
        return found

    async def history(self, wanted: Wanted) -> History | Missing:
        """The hours before."""
        return await self._hours.read(wanted)


def asked_of(wanted: Wanted) -> Asked:
    """The question to a snapshot."""
    pods = tuple(PodIdentity(pod.name, pod.address) for pod in wanted.pods) if wanted.workload is not None else None
    return Asked(wanted.namespace, wanted.selector, pods, wanted.model_names, wanted.names.running)
