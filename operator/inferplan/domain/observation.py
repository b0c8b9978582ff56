"""All that was seen of one instance at one time: the frozen input of diagnosis, optimizers and engine."""

from dataclasses import dataclass, field, fields

from inferplan.api.instance import WorkloadSpec
from inferplan.api.instance_status import REPLICAS_MAX, ReplicaStatus
from inferplan.api.reasons import Reason
from inferplan.api.values import Evidence
from inferplan.domain.drift import Drift
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR, Accelerator
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.owner import Owner
from inferplan.domain.serving import ServingConfig
from inferplan.domain.units import significant

NO_MODEL_CONFIG = Missing(
    Reason.MODEL_CONFIG_MISSING, "no config.json was given: set spec.model.config or .configMapRef"
)
"""Nothing is known of the model's geometry."""

NO_ARGUMENTS = Missing(Reason.NO_TARGET, "no workload's arguments were read, so none can be compared with a release")
"""No engine's arguments were looked at."""

NOT_MEASURED = Missing(Reason.METRICS_MISSING, "not measured")

_DIGITS = 3  # of a replica's number: what differs in the fourth is the same
_NAME_MAX = 256  # api.base.ShortText


@dataclass(frozen=True)
class Metrics:
    """Measurements over one window, each with unit and source, or the reason why there is none.

    Values are per replica, all of its schedulers together: means are means over replicas, `kv_cache_usage` and what
    ends in `_peak` is the highest of any replica. Latencies and lengths are those of all replicas' requests together.
    """

    num_requests_running: Measurement = NOT_MEASURED
    num_requests_running_peak: Measurement = NOT_MEASURED
    num_requests_waiting: Measurement = NOT_MEASURED
    num_requests_waiting_peak: Measurement = NOT_MEASURED
    waiting_for_capacity: Measurement = NOT_MEASURED
    """Waiting requests that the engine says wait for room, not for something of their own."""
    kv_cache_usage: Measurement = NOT_MEASURED
    """Highest share in the window."""
    kv_cache_usage_mean: Measurement = NOT_MEASURED
    kv_cache_usage_p99: Measurement = NOT_MEASURED
    """99th percentile over time, of the fullest replica."""
    preemptions_per_second: Measurement = NOT_MEASURED
    kv_cache_tokens: Measurement = NOT_MEASURED
    requests_per_second: Measurement = NOT_MEASURED
    """Requests that finished."""
    arrivals_per_second: Measurement = NOT_MEASURED
    """Requests that came and were admitted: those that finished, and what became more of those in flight."""
    failed_requests_share: Measurement = NOT_MEASURED
    """Share of finished requests that ended by error or abort."""
    rejected_requests_per_second: Measurement = NOT_MEASURED
    """Requests that the engine did not admit."""
    prompt_tokens_per_second: Measurement = NOT_MEASURED
    generation_tokens_per_second: Measurement = NOT_MEASURED
    prompt_tokens_mean: Measurement = NOT_MEASURED
    prompt_tokens_p50: Measurement = NOT_MEASURED
    prompt_tokens_p95: Measurement = NOT_MEASURED
    prompt_tokens_p99: Measurement = NOT_MEASURED
    prompt_tokens_max: Measurement = NOT_MEASURED
    """What no prompt of the window exceeds: the bound of the highest bucket that holds one."""
    generation_tokens_mean: Measurement = NOT_MEASURED
    generation_tokens_p50: Measurement = NOT_MEASURED
    generation_tokens_p95: Measurement = NOT_MEASURED
    generation_tokens_p99: Measurement = NOT_MEASURED
    generation_tokens_max: Measurement = NOT_MEASURED
    """What no answer of the window exceeds, likewise."""
    prefix_cache_hit_share: Measurement = NOT_MEASURED
    """Share of prompt tokens that the prefix cache held."""
    speculation_accepted_share: Measurement = NOT_MEASURED
    """Share of speculated tokens that held."""
    tokens_per_step: Measurement = NOT_MEASURED
    """Mean of tokens, prompts' and generated ones, of one engine step."""
    tokens_per_step_p95: Measurement = NOT_MEASURED
    queue_time_mean_milliseconds: Measurement = NOT_MEASURED
    prefill_time_mean_milliseconds: Measurement = NOT_MEASURED
    ttft_mean_milliseconds: Measurement = NOT_MEASURED
    ttft_p50_milliseconds: Measurement = NOT_MEASURED
    ttft_p95_milliseconds: Measurement = NOT_MEASURED
    ttft_p99_milliseconds: Measurement = NOT_MEASURED
    itl_mean_milliseconds: Measurement = NOT_MEASURED
    itl_p50_milliseconds: Measurement = NOT_MEASURED
    itl_p95_milliseconds: Measurement = NOT_MEASURED
    itl_p99_milliseconds: Measurement = NOT_MEASURED
    e2e_mean_milliseconds: Measurement = NOT_MEASURED
    data_parallel_ranks: Measurement = NOT_MEASURED
    """Schedulers of one replica, each with its own KV cache and its own cap."""
    uptime_seconds: Measurement = NOT_MEASURED
    """Time since the youngest replica's process started."""
    restarts: Measurement = NOT_MEASURED
    """Starts of engine processes within the window."""
    gpu_memory_busy_share: Measurement = NOT_MEASURED
    """Share of time in which GPU memory was read or written (DCGM's DRAM_ACTIVE), mean over GPUs."""
    gpu_tensor_busy_share: Measurement = NOT_MEASURED
    """Share of time in which tensor cores worked (DCGM's PIPE_TENSOR_ACTIVE), mean over GPUs."""
    slo_milliseconds: tuple[tuple[str, Measurement], ...] = ()
    """Measured percentile of each SLO, in the order of the spec: ("ttft p95", …)."""
    slo_missed_share: tuple[tuple[str, Measurement], ...] = ()
    """Share of requests (for ITL: of tokens) above each SLO's target, under the same names."""

    def named(self, *names: str) -> dict[str, Measurement]:
        """These fields by name, in this order."""
        return {name: getattr(self, name) for name in names}

    def evidence(self, *names: str) -> tuple[Evidence, ...]:
        """Those of these fields that were measured, as a plan shows them, in this order."""
        return tuple(value.as_evidence() for value in self.named(*names).values() if isinstance(value, Measured))

    def contradictory(self) -> dict[str, Missing]:
        """What was measured and cannot be true, by name; a target's percentile under its target's name."""
        named = self.named(*METRIC_FIELDS) | dict(self.slo_milliseconds) | dict(self.slo_missed_share)
        missing = {name: value for name, value in named.items() if isinstance(value, Missing)}
        return {name: value for name, value in missing.items() if value.code is Reason.METRICS_CONTRADICTORY}

    def measured(self) -> dict[str, Measured]:
        """The values that are there, by name."""
        plain = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name not in _BY_TARGET}
        named = plain | {name.replace(" ", "_") + "_milliseconds": value for name, value in self.slo_milliseconds}
        return {name: value for name, value in named.items() if isinstance(value, Measured)}


_BY_TARGET = frozenset({"slo_milliseconds", "slo_missed_share"})

METRIC_FIELDS = tuple(entry.name for entry in fields(Metrics) if entry.name not in _BY_TARGET)
"""Names of the measurements that do not belong to a target."""


@dataclass(frozen=True)
class ReplicaMetrics:
    """The few numbers by which one replica is told from the others; None where it was not measured."""

    name: str
    num_requests_running: float | None = None
    num_requests_waiting: float | None = None
    kv_cache_usage: float | None = None
    requests_per_second: float | None = None
    ttft_mean_milliseconds: float | None = None
    itl_mean_milliseconds: float | None = None
    uptime_seconds: float | None = None
    generation_tokens_per_second: float | None = None
    failed_requests_share: float | None = None

    def as_status(self) -> ReplicaStatus:
        """The numbers as people read them."""
        values = {name: getattr(self, name) for name in ReplicaStatus.model_fields if name != "name"}
        rounded = {name: None if value is None else significant(value, _DIGITS) for name, value in values.items()}
        return ReplicaStatus(name=self.name[:_NAME_MAX], **rounded)


@dataclass(frozen=True)
class LoadBand:
    """The load of one hour of the day, UTC, of all replicas together; None where it was not measured.

    Attributes:
        hour: 0 to 23.
        samples: Hours that it is the mean of.
    """

    hour: int
    samples: int
    num_requests_running: float | None = None
    requests_per_second: float | None = None
    prompt_tokens_mean: float | None = None
    generation_tokens_mean: float | None = None


@dataclass(frozen=True)
class HourlyWindow:
    """One past hour, per replica: an operating point that calibration can learn from.

    Attributes:
        ended_at: End of the hour, Unix seconds.
        same_pods: Whether the pods that run now ran in all of it, so that it was measured on what runs now.
    """

    ended_at: float
    same_pods: bool
    num_requests_running: float | None = None
    num_requests_waiting: float | None = None
    requests_per_second: float | None = None
    prompt_tokens_mean: float | None = None
    generation_tokens_mean: float | None = None
    itl_mean_milliseconds: float | None = None
    ttft_mean_milliseconds: float | None = None


@dataclass(frozen=True)
class History:
    """Hours before the window.

    Attributes:
        bands: Load by hour of the day, those hours that were measured.
        windows: The hours themselves, oldest first.
        trend_per_day: Relative change of the request rate per day, 0.1 is +10 %; None below a day and a half of data.
        source: The queries.
    """

    bands: tuple[LoadBand, ...]
    windows: tuple[HourlyWindow, ...]
    trend_per_day: float | None
    source: str


NO_HISTORY = Missing(Reason.METRICS_MISSING, "no hours before the window were asked for")


@dataclass(frozen=True)
class Observation:
    """One look at one instance.

    Attributes:
        config: What runs, defaults filled in where the version is known.
        accelerator: GPUs of one replica.
        model: The model's geometry, or why it is not known.
        metrics: What was measured.
        replica_metrics: The replicas side by side.
        history: Hours before the window.
        replicas: Ready replicas that the metrics cover; None without a workload.
        drift: What the release that runs makes of the engine's arguments.
        declared: What the owner says of the traffic.
        owners: Who else keeps the workload as it is.
    """

    config: ServingConfig
    accelerator: Accelerator = UNKNOWN_ACCELERATOR
    model: ModelCard | Missing = NO_MODEL_CONFIG
    metrics: Metrics = field(default_factory=Metrics)
    replica_metrics: tuple[ReplicaMetrics, ...] = ()
    history: History | Missing = NO_HISTORY
    replicas: int | None = None
    drift: Drift | Missing = NO_ARGUMENTS
    declared: WorkloadSpec | None = None
    owners: tuple[Owner, ...] = ()

    def side_by_side(self) -> tuple[ReplicaStatus, ...]:
        """The replicas as a status shows them, the first of very many; one alone is what the metrics say already."""
        several = self.replica_metrics if len(self.replica_metrics) > 1 else ()
        return tuple(replica.as_status() for replica in several[:REPLICAS_MAX])
