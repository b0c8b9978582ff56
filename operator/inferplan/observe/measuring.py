"""Asks the source of metrics that an instance names, or its pods themselves where the administrator names none."""

from collections.abc import Callable, Mapping
from datetime import datetime

from inferplan.api.instance import InstanceSpec
from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import History
from inferplan.observe.assemble import Assembled
from inferplan.observe.meter import WINDOWS, Meter, Wanted, served_names, whole_window
from inferplan.observe.metric_names import metric_names
from inferplan.observe.reduce import Measurements, nothing, reduce
from inferplan.observe.target import Pod, Workload

DEFAULT_PORT = 8000  # vLLM's own default (vllm/entrypoints/openai/cli_args.py)


class Measurer:
    """Measures instances.

    Args:
        meters: Sources of metrics by the name that the administrator gave them.
        clock: Present time.
        pods_meter: Reads the pods themselves, where there is no source; None to read nothing then.
    """

    def __init__(
        self, meters: Mapping[str, Meter], clock: Callable[[], datetime], pods_meter: Meter | None = None
    ) -> None:
        self._meters = meters
        self._clock = clock
        self._pods_meter = pods_meter

    async def measure(
        self, namespace: str, spec: InstanceSpec, read: Assembled, workload: Workload | None, pods: tuple[Pod, ...]
    ) -> tuple[Measurements, History | Missing]:
        """What was measured over the window, and the hours before. Nothing is raised: what is missing has a reason."""
        meter = _nothing_to_ask(spec, workload, pods) or self._meter(spec, workload)
        if isinstance(meter, Missing):
            return nothing(meter, spec.slo), meter
        window = whole_window(spec.metrics.window_seconds, self._youngest_seconds(workload, pods))
        config = read.observation.config
        wanted = Wanted(
            namespace=namespace,
            selector=spec.metrics.selector,
            workload=workload,
            pods=pods,
            engine=spec.engine,
            names=metric_names(spec.engine, config.version),
            model_names=served_names(config),
            window_seconds=WINDOWS[0] if isinstance(window, Missing) else window,
            port=port_of(read, workload),
            now=self._clock(),
            targets=frozenset(slo.metric.value for slo in spec.slo),
        )
        readings = window if isinstance(window, Missing) else await meter.readings(wanted)
        history = await meter.history(wanted)
        if isinstance(readings, Missing):
            return nothing(readings, spec.slo), history
        return reduce(readings, wanted.names, spec.slo, history_min_seconds=meter.least_seconds), history

    def _meter(self, spec: InstanceSpec, workload: Workload | None) -> Meter | Missing:
        """The source that the spec names; the pods themselves where the administrator has named none at all."""
        name = spec.metrics.prometheus_ref
        if name in self._meters:
            return self._meters[name]
        if not self._meters and self._pods_meter is not None and workload is not None:
            return self._pods_meter
        known = ", ".join(sorted(self._meters)) or "none"
        why = f'spec.metrics.prometheusRef "{name}" is not set up; the administrator has set up: {known}'
        return Missing(Reason.PROMETHEUS_ERROR, why)

    def _youngest_seconds(self, workload: Workload | None, pods: tuple[Pod, ...]) -> float | None:
        """Age of a StatefulSet's youngest pod: its pods keep their names, so what ran before them must stay out."""
        starts = [pod.started for pod in pods if pod.started is not None]
        if workload is None or workload.kind != "StatefulSet" or not starts:
            return None
        return (self._clock() - max(starts)).total_seconds()


def port_of(read: Assembled, workload: Workload | None) -> int:
    """--port, else the container's own port, else vLLM's default."""
    stated = read.observation.config.integer("port")
    if stated is not None:
        return stated
    ports = workload.container.ports if workload is not None else ()
    named = dict(ports)
    return named.get("http") or next((port for _, port in ports), DEFAULT_PORT)


def _nothing_to_ask(spec: InstanceSpec, workload: Workload | None, pods: tuple[Pod, ...]) -> Missing | None:
    if workload is not None and not pods:
        why = f'no ready pod of {workload.kind} "{workload.name}" runs its present template'
        return Missing(Reason.METRICS_MISSING, why)
    if workload is None and not spec.metrics.selector:
        return Missing(Reason.METRICS_MISSING, "neither spec.targetRef nor spec.metrics.selector says which series")
    return None
