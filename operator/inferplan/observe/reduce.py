"""Series to measurements: filters foreign pods, takes replicas together, reads percentiles. Pure."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from inferplan.api.instance import SLO
from inferplan.api.reasons import Reason
from inferplan.diagnose.slo import slo_name
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import METRIC_FIELDS, Metrics
from inferplan.observe.metric_names import MetricNames
from inferplan.observe.prometheus import Sample
from inferplan.observe.queries import histogram_of

MS_PER_SECOND = 1000
STALE_SECONDS = 150
"""Twice Prometheus' default scrape interval of a minute, and half of one for delays."""

HISTORY_MIN_SECONDS = 45
"""Means and rates over less than a minute say more about chance than about load. The age of the oldest sample is
asked for on a grid of 15 s, so a full window of a minute, the shortest that a spec can ask for, shows 45 to 60."""

Answers = Mapping[str, Sequence[Sample]]


@dataclass(frozen=True)
class Asked:
    """What was asked: the queries by key, the names behind them, and whose answers count.

    Attributes:
        queries: Query of each key, for evidence.
        names: Series of the engine's version.
        slos: Targets to measure.
        window_seconds: Time that the queries cover.
        pods: Ready pods of the workload; None without a workload, then every series counts.
    """

    queries: Mapping[str, str]
    names: MetricNames
    slos: tuple[SLO, ...]
    window_seconds: int
    pods: tuple[str, ...] | None


@dataclass(frozen=True)
class Measurements:
    """What one look at Prometheus gave.

    Attributes:
        metrics: The values, each measured or missing.
        problem: Why there are none; None when there are.
        replicas: Replicas that have series.
    """

    metrics: Metrics
    problem: Missing | None
    replicas: int | None = None


def nothing(problem: Missing, slos: Iterable[SLO]) -> Measurements:
    """No value at all, for one reason."""
    by_target = tuple((slo_name(slo), problem) for slo in slos)
    missing = replace(Metrics(), **dict.fromkeys(METRIC_FIELDS, problem), slo_milliseconds=by_target)
    return Measurements(missing, problem)


def measurements(asked: Asked, answers: Answers) -> Measurements:
    """Values over replicas, if the series are there, fresh and long enough."""
    own = {key: _own(samples, asked.pods) for key, samples in answers.items()}
    problem = _problem(own)
    if problem is not None:
        return nothing(problem, asked.slos)
    replicas = len({_replica(sample) for sample in own["running"]})
    return Measurements(_Reader(asked, own, replicas).metrics(), None, replicas)


def _own(samples: Iterable[Sample], pods: Sequence[str] | None) -> tuple[Sample, ...]:
    """Series of the workload's pods, and those whose scrape names no pod."""
    known = None if pods is None else {*pods, ""}
    return tuple(sample for sample in samples if known is None or sample.labels.get("pod", "") in known)


def _replica(sample: Sample) -> str:
    return sample.labels.get("pod") or sample.labels.get("instance", "")


def _problem(own: Answers) -> Missing | None:
    """Missing, stale or too young, by the gauge of running requests."""
    if not own["running"]:
        return Missing(Reason.METRICS_MISSING, "no series")
    ages = _finite(own["age"])
    if not ages or min(ages) > STALE_SECONDS:
        return Missing(Reason.METRICS_STALE, f"the newest sample is older than {STALE_SECONDS} s")
    seconds = max(_finite(own["history"]), default=0.0)
    if seconds < HISTORY_MIN_SECONDS:
        return Missing(
            Reason.METRICS_MISSING, f"only {seconds:.0f} s of data, at least {HISTORY_MIN_SECONDS} s are needed"
        )
    return None


def _finite(samples: Iterable[Sample]) -> list[float]:
    return [sample.value for sample in samples if math.isfinite(sample.value)]


@dataclass(frozen=True)
class _Reader:
    """Reads one look's answers."""

    asked: Asked
    answers: Answers
    replicas: int

    def metrics(self) -> Metrics:
        """Every value, measured or missing."""
        names = self.asked.names
        return Metrics(
            num_requests_running=self._reduced("running", fmean, "requests"),
            num_requests_waiting=self._reduced("waiting", fmean, "requests"),
            kv_cache_usage=self._usage(),
            preemptions_per_second=self._reduced("preemptions", self._per_replica, "1/s"),
            kv_cache_tokens=self._kv_tokens(),
            requests_per_second=self._reduced("requests", self._per_replica, "1/s"),
            prompt_tokens_mean=self._mean(names.prompt_tokens, 1, "tokens"),
            generation_tokens_mean=self._mean(names.generation_tokens, 1, "tokens"),
            ttft_mean_milliseconds=self._mean(names.ttft, MS_PER_SECOND, "ms"),
            itl_mean_milliseconds=self._mean(names.itl, MS_PER_SECOND, "ms"),
            itl_p99_milliseconds=self._percentile(names.itl, 99),
            slo_milliseconds=tuple((slo_name(slo), self._slo(slo)) for slo in self.asked.slos),
        )

    def _per_replica(self, values: Iterable[float]) -> float:
        return sum(values) / self.replicas

    def _reduced(self, key: str, reduce: Callable[[Iterable[float]], float], unit: str) -> Measurement:
        samples = self.answers.get(key)
        if samples is None:
            return Missing(Reason.METRICS_MISSING, "the engine's version has no such series")
        values = _finite(samples)
        if not values:
            return Missing(Reason.METRICS_MISSING, f"no series for {key.replace('_', ' ')}")
        return self._measured(reduce(values), unit, key)

    def _measured(self, value: float, unit: str, key: str) -> Measured:
        return Measured(value, unit, self.asked.queries[key], self.asked.window_seconds)

    def _usage(self) -> Measurement:
        """A share above 1 is no share: another exporter's series under the same name, or percent."""
        usage = self._reduced("kv_usage", max, "share")
        if isinstance(usage, Measured) and not 0 <= usage.value <= 1:
            return Missing(Reason.METRICS_MISSING, f"the KV cache's use is {usage.value:g}, which is no share")
        return usage

    def _kv_tokens(self) -> Measurement:
        """Tokens of the smallest replica's KV cache."""
        if "kv_tokens" in self.answers:
            gauge = self._reduced("kv_tokens", min, "tokens")
            return gauge if isinstance(gauge, Missing) or gauge.value > 0 else _no_capacity()
        found = [_tokens(sample.labels) for sample in self.answers.get("cache_info", ())]
        sizes = [size for size in found if size is not None]
        if not sizes:
            return _no_capacity()
        return Measured(float(min(sizes)), "tokens", self.asked.queries["cache_info"])

    def _mean(self, name: str | None, factor: float, unit: str) -> Measurement:
        """Sum over count of a histogram, of all replicas together."""
        if name is None:
            return Missing(Reason.METRICS_MISSING, "the engine's version has no such series")
        count = sum(_finite(self.answers[f"{name}_count"]))
        if count <= 0:
            return _nothing_finished()
        total = sum(_finite(self.answers[f"{name}_sum"]))
        source = f"sum({self.asked.queries[f'{name}_sum']}) / sum({self.asked.queries[f'{name}_count']})"
        if not total > 0:
            return _nothing_finished()
        return Measured(total / count * factor, unit, source, self.asked.window_seconds)

    def _slo(self, slo: SLO) -> Measurement:
        return self._percentile(histogram_of(self.asked.names, slo.metric), slo.percentile)

    def _percentile(self, name: str | None, percentile: int) -> Measurement:
        if name is None:
            return Missing(Reason.METRICS_MISSING, "the engine's version has no such series")
        key = f"{name}_bucket"
        seconds = percentile_of(_cumulated(self.answers[key]), percentile / 100)
        if isinstance(seconds, Missing):
            return seconds
        source = f"histogram_quantile({percentile / 100:g}, sum by (le) ({self.asked.queries[key]}))"
        return Measured(seconds * MS_PER_SECOND, "ms", source, self.asked.window_seconds)


def _no_capacity() -> Missing:
    return Missing(Reason.METRICS_MISSING, "the engine does not report its KV cache's size")


def _nothing_finished() -> Missing:
    return Missing(Reason.METRICS_MISSING, "no request finished in the window")


def _tokens(labels: Mapping[str, str]) -> int | None:
    """Blocks times tokens per block; the attention layers' own block size where the engine tells it."""
    size = labels.get("effective_attention_block_size", "")
    size = size if size.isdigit() else labels.get("block_size", "")
    blocks = labels.get("num_gpu_blocks", "")
    tokens = int(size) * int(blocks) if size.isdigit() and blocks.isdigit() else 0
    return tokens if tokens > 0 else None


def _cumulated(samples: Iterable[Sample]) -> tuple[tuple[float, float], ...]:
    """(upper bound, cumulated count) over all replicas, by bound."""
    total: dict[float, float] = {}
    for sample in samples:
        bound = _bound(sample.labels.get("le", ""))
        if bound is not None and math.isfinite(sample.value):
            total[bound] = total.get(bound, 0.0) + sample.value
    return tuple(sorted(total.items()))


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound


def percentile_of(cumulated: Sequence[tuple[float, float]], share: float) -> float | Missing:
    """Prometheus' histogram_quantile: linear inside the bucket that holds the share; seconds.

    In the last bucket, up to infinity, only a lower bound is known: that is no value.
    """
    if not cumulated or cumulated[-1][1] <= 0 or not math.isinf(cumulated[-1][0]):
        return _nothing_finished()
    rank = share * cumulated[-1][1]
    low, below = 0.0, 0.0
    for bound, count in cumulated:
        if count >= rank:
            break
        low, below = bound, count
    if math.isinf(bound):
        return Missing(Reason.METRICS_MISSING, f"above {low * MS_PER_SECOND:g} ms, the histogram's last bound")
    return low + (bound - low) * (rank - below) / (count - below) if count > below else bound
