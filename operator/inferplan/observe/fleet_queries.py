"""The queries of one cycle: a dozen for a whole fleet, whatever engines and releases it runs. Pure.

Each query is a union of tagged expressions: the label `inferplan_key` says which quantity a series is. Everything is
grouped by pod. All schedulers (data-parallel ranks) of a pod are put together by Prometheus itself, and a series that
two monitors scrape counts once. No text of a user ever becomes PromQL: label names are checked, values are quoted.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from inferplan.observe.history_queries import KEY_LABEL, SeriesLabels
from inferplan.observe.metric_kinds import CACHE_LABELS, COUNTERS, HISTOGRAMS, RANK_LABELS, SHARES, SPLITS
from inferplan.observe.metric_names import MetricNames, spellings

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)

COVERED_STEPS = 60
"""The time that a series covers is counted in this many steps of the window: to 2 %."""

BUCKETS = ("ttft", "itl", "prompt_tokens", "generation_tokens", "step_tokens")
"""Histograms whose percentiles are always read; of the others count and sum, unless a target asks for more."""

DRAM_ACTIVE, TENSOR_ACTIVE = "DCGM_FI_PROF_DRAM_ACTIVE", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"
GPU_LABELS = ("exported_namespace", "exported_pod")
"""Where DCGM's own labels end up when the scrape keeps those of the exporter's pod (honorLabels: false)."""

_SPLIT_LABELS = ("finished_reason", "reason", "cache_source")
"""Labels that split a counter into parts which add up."""

_MATCHERS_LENGTH = 1500
"""Longest list of namespaces in a matcher; beyond it all are asked for. What is not wanted is left out anyway."""


@dataclass(frozen=True)
class FleetScope:
    """What one cycle's queries ask for.

    Attributes:
        window_seconds: Time that means and rates cover.
        labels: What the source calls the labels that tell whose a series is.
        namespaces: Namespaces whose series count; empty for all.
        extra: Further labels to group by, those of the instances' selectors.
        histograms: Histograms beside `BUCKETS` whose buckets are read.
    """

    window_seconds: int
    labels: SeriesLabels = SeriesLabels()
    namespaces: frozenset[str] = frozenset()
    extra: tuple[str, ...] = ()
    histograms: frozenset[str] = frozenset()

    @property
    def step_seconds(self) -> int:
        """Step in which the covered time is counted."""
        return max(1, self.window_seconds // COVERED_STEPS)

    @property
    def group(self) -> tuple[str, ...]:
        """Labels that tell replicas apart."""
        return tuple(dict.fromkeys((self.labels.namespace, self.labels.pod, "instance", "model_name", *self.extra)))

    @property
    def target(self) -> tuple[str, ...]:
        """Labels of the scraped process, whatever series it is."""
        return (self.labels.namespace, self.labels.pod, "instance")

    @property
    def matchers(self) -> str:
        """Label matchers, without braces."""
        names = "|".join(literal(name) for name in sorted(self.namespaces))
        if not names or len(names) > _MATCHERS_LENGTH:
            return f'{self.labels.namespace}!=""'
        return f"{self.labels.namespace}=~{quoted(names)}"


def fleet_queries(scope: FleetScope) -> tuple[str, ...]:
    """Every query of a cycle, at most 15.

    Raises:
        ValueError: A label's name is none.
    """
    for name in (scope.labels.namespace, scope.labels.pod, *scope.extra):
        if LABEL_NAME.fullmatch(name) is None:
            raise ValueError(f'"{name}" is no label name; allowed are letters, digits and _')
    buckets = (*BUCKETS, *sorted(scope.histograms & set(HISTOGRAMS) - set(BUCKETS)))
    parts = (_means, _peaks, _presence, _cache, _rates, _sums)
    unions = (*(tuple(part(scope)) for part in parts), *(tuple(_buckets(scope, key)) for key in buckets))
    return ("\nor\n".join(_gpus(scope)), *("\nor\n".join(union) for union in unions))


def _tagged(key: str, expression: str) -> str:
    return f'label_replace({expression}, "{KEY_LABEL}", "{key}", "", "")'


def _by(labels: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(labels))


def _over_ranks(scope: FleetScope, key: str, expression: str, kept: Sequence[str] = ()) -> str:
    """Ranks together: shares as the highest, all else as the sum of what each has, scraped once or twice."""
    if key in SHARES:
        return f"max by ({_by((*scope.group, *kept))}) ({expression})"
    each = _by((*scope.group, *kept, *RANK_LABELS, *_SPLIT_LABELS))
    return f"sum by ({_by((*scope.group, *kept))}) (max by ({each}) ({expression}))"


def _series(scope: FleetScope, name: str) -> str:
    return f"{name}{{{scope.matchers}}}"


def _range(scope: FleetScope, name: str) -> str:
    return f"{_series(scope, name)}[{scope.window_seconds}s]"


def _means(scope: FleetScope) -> Iterator[str]:
    for key in ("running", "waiting", "kv_usage"):
        for name in spellings(key):
            yield _tagged(f"{key}_mean", _over_ranks(scope, key, f"avg_over_time({_range(scope, name)})"))
    for name in spellings("waiting_by_reason"):
        mean = f"avg_over_time({_range(scope, name)})"
        yield _tagged("waiting_by_reason", _over_ranks(scope, "waiting", mean, (SPLITS["waiting_by_reason"],)))


def _peaks(scope: FleetScope) -> Iterator[str]:
    for key in ("running", "waiting", "kv_usage"):
        for name in spellings(key):
            yield _tagged(f"{key}_peak", _over_ranks(scope, key, f"max_over_time({_range(scope, name)})"))
    for name in spellings("kv_usage"):
        yield _tagged(
            "kv_usage_p99", _over_ranks(scope, "kv_usage", f"quantile_over_time(0.99, {_range(scope, name)})")
        )


def _presence(scope: FleetScope) -> Iterator[str]:
    """How old, how long, how many schedulers, and since when: what the numbers rest on."""
    by, each = _by(scope.group), _by((*scope.group, *RANK_LABELS))
    for name in spellings("running"):
        series = _series(scope, name)
        yield _tagged("age", f"time() - max by ({by}) (timestamp({series}))")
        yield _tagged("ranks", f"count by ({by}) (max by ({each}) ({series}))")
        steps = f"[{scope.window_seconds}s:{scope.step_seconds}s]"
        yield _tagged("covered", f"max by ({by}) (count_over_time({series}{steps})) * {scope.step_seconds}")
    start = spellings("process_start")[0]
    target = _by(scope.target)
    for name in spellings("running"):
        engines = f"and on ({target}) {_series(scope, name)}"
        yield _tagged("uptime", f"time() - max by ({target}) ({_series(scope, start)} {engines})")
        yield _tagged("restarts", f"max by ({target}) (changes({_range(scope, start)}) {engines})")


def _cache(scope: FleetScope) -> Iterator[str]:
    by = _by((*scope.group, *RANK_LABELS, *CACHE_LABELS))
    for name in spellings("cache_info"):
        yield _tagged("cache_info", f"max by ({by}) ({_series(scope, name)})")
    for name in spellings("kv_tokens"):
        yield _tagged("kv_tokens", _over_ranks(scope, "kv_tokens", _series(scope, name)))


def _rates(scope: FleetScope) -> Iterator[str]:
    for key in COUNTERS:
        kept = (SPLITS[key],) if key in SPLITS else ()
        for name in spellings(key):
            yield _tagged(key, _over_ranks(scope, key, f"rate({_range(scope, name)})", kept))


def _sums(scope: FleetScope) -> Iterator[str]:
    """Count and sum of every histogram; of a native one both come with the series itself."""
    for key in HISTOGRAMS:
        for name in spellings(key):
            for part in ("sum", "count"):
                yield _tagged(f"{key}_{part}", _over_ranks(scope, key, f"rate({_range(scope, f'{name}_{part}')})"))
            if key not in BUCKETS:
                yield _native(scope, key, name)


def _buckets(scope: FleetScope, key: str) -> Iterator[str]:
    for name in spellings(key):
        yield _tagged(f"{key}_bucket", _over_ranks(scope, key, f"rate({_range(scope, f'{name}_bucket')})", ("le",)))
        yield _native(scope, key, name)


def _native(scope: FleetScope, key: str, name: str) -> str:
    """A native histogram's rate; PromQL has no max of histograms, and the mean of two equal ones is each of them."""
    each = _by((*scope.group, *RANK_LABELS))
    together = f"sum by ({_by(scope.group)}) (avg by ({each}) (rate({_range(scope, name)})))"
    return _tagged(f"{key}_native", together)


def _gpus(scope: FleetScope) -> Iterator[str]:
    by = _by((scope.labels.namespace, scope.labels.pod, *GPU_LABELS))
    for key, name in (("gpu_memory_busy", DRAM_ACTIVE), ("gpu_tensor_busy", TENSOR_ACTIVE)):
        yield _tagged(key, f"avg by ({by}) (avg_over_time({name}[{scope.window_seconds}s]))")


def quoted(text: str) -> str:
    """A PromQL string: backslash, quote and newline escaped, so that it can never end early."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def literal(text: str) -> str:
    """The text as RE2 that matches only itself; a dash outside of brackets needs no escape and reads better."""
    return re.escape(text).replace("\\-", "-")


_PODS_LENGTH = 400
"""Longest list of pods in a query that is shown to people; beyond it the namespace and the selector stand."""


def own_matchers(labels: SeriesLabels, namespace: str, selector: Mapping[str, str], pods: Sequence[str]) -> str:
    """One instance's own series, as a person would ask for them."""
    parts = [f"{labels.namespace}={quoted(namespace)}", *(f"{name}={quoted(text)}" for name, text in selector.items())]
    names = "|".join(literal(pod) for pod in sorted(pods))
    if names and len(names) <= _PODS_LENGTH:
        parts.append(f"{labels.pod}=~{quoted(names)}")
    return ", ".join(parts)


def sources(names: MetricNames, matchers: str, labels: SeriesLabels, window_seconds: int) -> dict[str, str]:
    """For each key the PromQL that gives it for one instance, each replica apart: evidence that people can paste."""
    window = f"{{{matchers}}}[{window_seconds}s]"
    found: dict[str, str] = {}
    for key in ("running", "waiting", "kv_usage"):
        name = getattr(names, key)
        whole, functions = "max" if key in SHARES else "sum", {"mean": "avg_over_time", "peak": "max_over_time"}
        if name is not None:
            shown = {how: f"{whole} by ({labels.pod}) ({call}({name}{window}))" for how, call in functions.items()}
            found |= {f"{key}_{how}": text for how, text in shown.items()}
    if names.kv_usage is not None:
        found["kv_usage_p99"] = f"max by ({labels.pod}) (quantile_over_time(0.99, {names.kv_usage}{window}))"
    for key in (*COUNTERS, *HISTOGRAMS):
        name = getattr(names, key)
        by = f"{labels.pod}, le" if key in HISTOGRAMS else labels.pod
        if name is not None:
            found[key] = f"sum by ({by}) (rate({name}{'_bucket' if key in HISTOGRAMS else ''}{window}))"
    for key in ("waiting_by_reason", "cache_info", "kv_tokens", "process_start"):
        name = getattr(names, key)
        if name is not None:
            found[key] = f"{name}{{{matchers}}}"
    return found
