"""PromQL as pure functions of names, labels and window. No text of a user ever becomes PromQL.

Every query is grouped by the labels that tell replicas and their schedulers apart: `pod` (or `instance` where
the scrape adds no pod), `engine` (vLLM's data-parallel rank) and `dp_rank` (SGLang's). The same series scraped
twice, by two monitors, is one series after the grouping.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inferplan.api.instance import SLO, SLOMetric
from inferplan.observe.assemble import SpecError
from inferplan.observe.metric_names import MetricNames

BY = "pod, instance, engine, dp_rank"
INFO_LABELS = ("block_size", "effective_attention_block_size", "num_gpu_blocks")
"""Labels of vllm:cache_config_info that give the KV cache's tokens."""

_LABEL_NAME = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
_RESERVED = frozenset({"__name__", "namespace"})
_PODS_LENGTH = 1500
"""Longest list of pod names in a query; beyond it their common prefix is asked for. Results are filtered anyway."""
_HISTORY_STEP_SECONDS = 15


@dataclass(frozen=True)
class Scope:
    """Which series count, and over which time.

    Attributes:
        matchers: Label matchers, ready for PromQL, without braces.
        window_seconds: Time that means and rates cover.
    """

    matchers: str
    window_seconds: int


def scope(namespace: str, selector: Mapping[str, str], pods: Sequence[str], window_seconds: int) -> Scope:
    """The instance's own series: always its namespace, then the owner's labels, else its pods' names, if any.

    Raises:
        SpecError: A selector label is no Prometheus label, or is not for the owner to set.
    """
    parts = [_equals("namespace", namespace), *(_equals(_label(name), value) for name, value in selector.items())]
    if pods and not selector:
        parts.append(f"pod=~{_quoted(_pod_pattern(pods))}")
    return Scope(", ".join(parts), window_seconds)


def _label(name: str) -> str:
    if _LABEL_NAME.match(name) is None or name in _RESERVED:
        allowed = "letters, digits and _ (Prometheus writes other characters as _), but not namespace or __name__"
        raise SpecError(f'spec.metrics.selector: "{name}" cannot be used; label names are {allowed}')
    return name


def _equals(label: str, value: str) -> str:
    return f"{label}={_quoted(value)}"


def _quoted(text: str) -> str:
    """A PromQL string: backslash, quote and newline escaped, so that it can never end early."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _pod_pattern(pods: Sequence[str]) -> str:
    """Exactly these names, as RE2; of very many pods their common prefix."""
    exact = "|".join(_literal(pod) for pod in sorted(pods))
    if len(exact) <= _PODS_LENGTH:
        return exact
    return _literal(_common_prefix(min(pods), max(pods))) + ".*"


def _literal(text: str) -> str:
    """The text as RE2 that matches only itself; a dash outside of brackets needs no escape and reads better."""
    return re.escape(text).replace("\\-", "-")


def _common_prefix(first: str, last: str) -> str:
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]


def mean(name: str, where: Scope) -> str:
    """A gauge's mean over the window."""
    return f"avg by ({BY}) (avg_over_time({_range(name, where)}))"


def highest(name: str, where: Scope) -> str:
    """A gauge's highest value in the window."""
    return f"max by ({BY}) (max_over_time({_range(name, where)}))"


def latest(name: str, where: Scope) -> str:
    """A gauge's value now."""
    return f"max by ({BY}) ({name}{{{where.matchers}}})"


def rate(name: str, where: Scope, kept_label: str = "") -> str:
    """A counter's increase per second; summed over `kept_label`, where the counter is split by one."""
    if not kept_label:
        return f"max by ({BY}) (rate({_range(name, where)}))"
    return f"sum by ({BY}) (max by ({BY}, {kept_label}) (rate({_range(name, where)})))"


def buckets(name: str, where: Scope) -> str:
    """A histogram's buckets per second."""
    return f"max by ({BY}, le) (rate({_range(name + '_bucket', where)}))"


def info(name: str, where: Scope) -> str:
    """An info gauge with the labels that are read from it."""
    return f"max by ({BY}, {', '.join(INFO_LABELS)}) ({name}{{{where.matchers}}})"


def age(name: str, where: Scope) -> str:
    """Age of the newest sample, seconds, by Prometheus' own clock."""
    return f"time() - max by ({BY}) (timestamp({name}{{{where.matchers}}}))"


def history(name: str, where: Scope) -> str:
    """Age of the oldest sample in the window, seconds."""
    window = f"{where.window_seconds}s:{_HISTORY_STEP_SECONDS}s"
    return f"time() - min by ({BY}) (min_over_time(timestamp({name}{{{where.matchers}}})[{window}]))"


def _range(name: str, where: Scope) -> str:
    return f"{name}{{{where.matchers}}}[{where.window_seconds}s]"


def histogram_of(names: MetricNames, metric: SLOMetric) -> str | None:
    """The histogram that measures an SLO's metric."""
    return {
        SLOMetric.TTFT: names.ttft,
        SLOMetric.ITL: names.itl,
        SLOMetric.TPOT: names.tpot,
        SLOMetric.E2E: names.e2e,
    }[metric]


def all_queries(names: MetricNames, where: Scope, slos: Sequence[SLO]) -> dict[str, str]:
    """Every query that one look needs, by the key under which its answer is read."""
    optional = {
        "kv_usage": (highest, names.kv_usage),
        "preemptions": (rate, names.preemptions),
        "cache_info": (info, names.cache_info),
        "kv_tokens": (latest, names.kv_tokens),
    }
    queries = {
        "running": mean(names.running, where),
        "waiting": mean(names.waiting, where),
        "age": age(names.running, where),
        "history": history(names.running, where),
        **{key: make(name, where) for key, (make, name) in optional.items() if name is not None},
    }
    if names.requests is not None:
        queries["requests"] = rate(names.requests, where, "finished_reason")
    for name in (names.prompt_tokens, names.generation_tokens, names.ttft, names.itl):
        if name is not None:
            queries |= {f"{name}_{part}": rate(f"{name}_{part}", where) for part in ("sum", "count")}
    wanted = {names.itl, *(histogram_of(names, slo.metric) for slo in slos)}
    return queries | {f"{name}_bucket": buckets(name, where) for name in wanted if name is not None}
