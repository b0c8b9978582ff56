"""All that was seen of one instance at one time: the frozen input of diagnosis, optimizers and engine."""

from dataclasses import dataclass, field, fields

from inferplan.api.reasons import Reason
from inferplan.domain.drift import Drift
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR, Accelerator
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig

NO_MODEL_CONFIG = Missing(
    Reason.MODEL_CONFIG_MISSING, "no config.json was given: set spec.model.config or .configMapRef"
)
"""Nothing is known of the model's geometry."""

NO_ARGUMENTS = Missing(Reason.NO_TARGET, "no workload's arguments were read, so none can be compared with a release")
"""No engine's arguments were looked at."""

NOT_MEASURED = Missing(Reason.METRICS_MISSING, "not measured")


@dataclass(frozen=True)
class Metrics:
    """Measurements over one window, each with unit and source, or the reason why there is none.

    Values are per replica: means are means over replicas, `kv_cache_usage` is the highest of any replica.
    """

    num_requests_running: Measurement = NOT_MEASURED
    num_requests_waiting: Measurement = NOT_MEASURED
    kv_cache_usage: Measurement = NOT_MEASURED
    preemptions_per_second: Measurement = NOT_MEASURED
    kv_cache_tokens: Measurement = NOT_MEASURED
    requests_per_second: Measurement = NOT_MEASURED
    prompt_tokens_mean: Measurement = NOT_MEASURED
    generation_tokens_mean: Measurement = NOT_MEASURED
    ttft_mean_milliseconds: Measurement = NOT_MEASURED
    itl_mean_milliseconds: Measurement = NOT_MEASURED
    itl_p99_milliseconds: Measurement = NOT_MEASURED
    slo_milliseconds: tuple[tuple[str, Measurement], ...] = ()
    """Measured percentile of each SLO, in the order of the spec: ("ttft p95", …)."""

    def measured(self) -> dict[str, Measured]:
        """The values that are there, by name."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "slo_milliseconds"}
        named = values | {name.replace(" ", "_") + "_milliseconds": value for name, value in self.slo_milliseconds}
        return {name: value for name, value in named.items() if isinstance(value, Measured)}


@dataclass(frozen=True)
class Observation:
    """One look at one instance.

    Attributes:
        config: What runs, defaults filled in where the version is known.
        accelerator: GPUs of one replica.
        model: The model's geometry, or why it is not known.
        metrics: What was measured.
        replicas: Ready replicas that the metrics cover; None without a workload.
        drift: What the release that runs makes of the engine's arguments.
    """

    config: ServingConfig
    accelerator: Accelerator = UNKNOWN_ACCELERATOR
    model: ModelCard | Missing = NO_MODEL_CONFIG
    metrics: Metrics = field(default_factory=Metrics)
    replicas: int | None = None
    drift: Drift | Missing = NO_ARGUMENTS
