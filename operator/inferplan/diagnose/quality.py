"""Numbers that are not there, too old, impossible, or known only from one side. Pure."""

from collections.abc import Iterator

from inferplan.api.analysis import Bottleneck, Severity, Unknown
from inferplan.api.base import TEXT_MAX
from inferplan.api.reasons import Reason
from inferplan.diagnose.case import Case
from inferplan.diagnose.finding import Cause, Code, Shown, finding
from inferplan.domain.measurement import Measured, Measurement, Missing

_FINDINGS = {
    Reason.METRICS_MISSING: Code.METRICS_MISSING,
    Reason.PROMETHEUS_ERROR: Code.METRICS_MISSING,
    Reason.METRICS_STALE: Code.METRICS_STALE,
    Reason.METRICS_CONTRADICTORY: Code.METRICS_CONTRADICTORY,
}

_NEEDS = {
    Reason.METRICS_MISSING: (
        "Measurements over a minute or more: series that this instance's labels or pods pick, or pages some time apart."
    ),
    Reason.METRICS_STALE: "A scrape that works: look at the target's page in Prometheus.",
    Reason.PROMETHEUS_ERROR: "A Prometheus that answers, under the name that the administrator gave it.",
    Reason.METRICS_CONTRADICTORY: "Labels that pick this instance's series alone, and the settings that really run.",
    Reason.NOT_EXPOSED_BY_VERSION: "A newer engine version.",
    Reason.NOT_EXPOSED: "Nothing that is known: none of the engine's releases tells it.",
    Reason.SETTING_UNKNOWN: "The setting among the current ones, or version and GPU, of which defaults follow.",
    Reason.CAUSE_UNCLEAR: "A longer window at a steady load.",
    Reason.STALLED: "The same look once something comes out again.",
    Reason.ABOVE_LAST_BUCKET: "Wider buckets in the engine (vLLM: --custom-histogram-buckets).",
}


def needs(code: Reason) -> str:
    """What would make a missing thing known."""
    return _NEEDS.get(code, "The same look again, later.")


def unknown(missing: Missing, subject: str = "") -> Unknown:
    """A missing thing as the analysis lists it."""
    prefix = f"{subject}: " if subject else ""
    return Unknown(code=missing.code, reason=f"{prefix}{missing.reason}"[:TEXT_MAX], needs=needs(missing.code))


def cause_unknown(case: Case) -> Iterator[Bottleneck | Unknown]:
    """Why the cause cannot be told: as unknowns, and as one finding where the metrics are at fault."""
    if case.diagnosis.cause is not Cause.UNKNOWN:
        return
    first = case.diagnosis.missing[0]
    code = _FINDINGS.get(first.code)
    if code is not None:
        yield finding(
            code,
            Severity.MEDIUM,
            f"What limits the instance cannot be told: {first.reason}.",
            recommendation=needs(first.code),
        )
    seen = dict.fromkeys(case.diagnosis.missing)
    yield from (unknown(missing, "what limits the instance") for missing in seen)


def contradictory(case: Case) -> Iterator[Bottleneck]:
    """One finding for all that was measured and cannot be true, as far as the cause does not rest on it."""
    by_reason: dict[str, list[str]] = {}
    for name, value in case.metrics.contradictory().items():
        if value not in case.diagnosis.missing:
            by_reason.setdefault(value.reason, []).append(name)
    if by_reason:
        told = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
        yield finding(
            Code.METRICS_CONTRADICTORY,
            Severity.MEDIUM,
            f"Measurements that cannot be true are left out. {told}.",
            recommendation=needs(Reason.METRICS_CONTRADICTORY),
        )


_LATENCIES = tuple(f"{metric}_p{percentile}_milliseconds" for metric in ("ttft", "itl") for percentile in (95, 99))


def above_last_bucket(case: Case) -> Iterator[Bottleneck]:
    """A latency whose percentile lies beyond the last bound of its histogram."""
    for name in _LATENCIES:
        value = getattr(case.metrics, name)
        if isinstance(value, Missing) and value.at_least is not None:
            yield finding(
                Code.ABOVE_LAST_BUCKET,
                Severity.LOW,
                f"{name.removesuffix('_milliseconds').replace('_', ' ')} is above {value.at_least:g} ms, the"
                " histogram's last bound: how far is not known.",
                Shown(name, value),
                recommendation=needs(value.code),
            )
            return


_PREFIXES = "prefix cache"


def _of_latency(metric: str) -> Iterator[str]:
    return (f"{metric}_{part}_milliseconds" for part in ("mean", "p50", "p95", "p99"))


def _first_measured(case: Case, *names: str) -> Measurement:
    """One number of several that tell the same; why the first of them is missing where none is there."""
    found = tuple(case.metrics.named(*names).values())
    return next((value for value in found if isinstance(value, Measured)), found[0])


def not_measured(case: Case) -> Iterator[Unknown]:
    """What was looked for besides the cause and is not there, each reason once, and not that of the cause again."""
    named = {
        "preemptions": case.metrics.preemptions_per_second,
        "tokens per step": case.metrics.tokens_per_step,
        "failed requests": case.metrics.failed_requests_share,
        _PREFIXES: case.metrics.prefix_cache_hit_share,
        "KV cache use": _first_measured(case, "kv_cache_usage", "kv_cache_usage_mean"),
        "time to first token": _first_measured(case, *_of_latency("ttft")),
        "time between tokens": _first_measured(case, *_of_latency("itl")),
        "queue time": case.metrics.queue_time_mean_milliseconds,
    }
    if case.config.flag("enable_prefix_caching") is False:  # said elsewhere
        del named[_PREFIXES]
    if case.diagnosis.cause is Cause.IDLE:
        return
    missing = {subject: value for subject, value in named.items() if isinstance(value, Missing)}
    for reason in dict.fromkeys(missing.values()):
        if reason not in case.diagnosis.missing:
            yield unknown(reason, ", ".join(subject for subject, value in missing.items() if value == reason))
