"""What gathering needs of a source of metrics, and the question that it puts: one instance, its pods, its window."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import History
from inferplan.domain.readings import Readings
from inferplan.domain.serving import ServingConfig
from inferplan.observe.metric_names import MetricNames
from inferplan.observe.target import Pod, Workload


@dataclass(frozen=True)
class Wanted:
    """Whose metrics are wanted.

    Attributes:
        namespace: The instance's own; no other one's series ever count.
        selector: Labels that the owner picks series by; empty for none.
        workload: The target; None without one, then the selector alone tells.
        pods: Its ready pods of the present template.
        engine: The engine.
        names: Series of its version.
        model_names: Names under which the engine serves; None where they are not known.
        window_seconds: Time that means and rates are to cover.
        port: The engine's HTTP port.
        now: Present time.
        targets: Histograms of which a percentile is wanted because the instance has a target for it.
    """

    namespace: str
    selector: Mapping[str, str]
    workload: Workload | None
    pods: tuple[Pod, ...]
    engine: Engine
    names: MetricNames
    model_names: frozenset[str] | None
    window_seconds: int
    port: int
    now: datetime
    targets: frozenset[str] = frozenset()


class Meter(Protocol):
    """A source of metrics. Neither method raises: what cannot be read is Missing with its reason."""

    @property
    def least_seconds(self) -> float:
        """Time that counters must cover before their rates say something."""
        ...

    async def readings(self, wanted: Wanted) -> Readings | Missing:
        """What was read of each replica over the window."""
        ...

    async def history(self, wanted: Wanted) -> History | Missing:
        """The hours before."""
        ...


WINDOWS = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 57_600, 86_400)
"""Windows that are asked for, seconds: all instances of a source that want the same one share its queries."""


def whole_window(wanted_seconds: int, age_seconds: float | None) -> int | Missing:
    """The longest of `WINDOWS` that is neither longer than wanted nor reaches before the pods' start.

    1,000 s wanted of pods that have run for 700 s gives 600 s.
    """
    most = wanted_seconds if age_seconds is None else min(wanted_seconds, int(age_seconds))
    fitting = [window for window in WINDOWS if window <= most]
    if not fitting:
        return Missing(Reason.METRICS_MISSING, f"only {max(0, most)} s of data since its pods started")
    return fitting[-1]


def served_names(config: ServingConfig) -> frozenset[str] | None:
    """Values that the label model_name of the engine's series can have; None where nothing is known of them.

    Engines take the first of the served names, else the model (vllm/v1/metrics/loggers.py; SGLang the same).
    """
    stated = config.text("served_model_name")
    names = _listed(stated) if stated is not None else ()
    if names:
        return frozenset(names)
    return frozenset((config.model,)) if config.model is not None else None


def _listed(text: str) -> tuple[str, ...]:
    """The names in a setting that holds one, or a list as JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        return (text,)
    return tuple(map(str, value)) if isinstance(value, list) else (text,)
