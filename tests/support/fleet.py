"""A fleet's answers in memory: `table(...)` of tagged series, `ask(...)` for one instance's part."""

from collections.abc import Mapping
from typing import Any

from inferplan.domain.measurement import Missing
from inferplan.domain.readings import Readings
from inferplan.observe.fleet_part import Asked, PodIdentity, Taken, part_of
from inferplan.observe.fleet_queries import Scope
from inferplan.observe.fleet_table import FleetTable
from inferplan.observe.prometheus_types import NativeHistogram, Sample
from inferplan.observe.series_labels import KEY_LABEL

NOW = 1_800_000_000.0


def series(tag: str, value: float | NativeHistogram, pod: str | None = "llama-0", **labels: str) -> Sample:
    """One series of an answer; `pod=None` where the scrape adds no name."""
    own = {"namespace": "serving", "instance": "10.0.0.1:8000", **({"pod": pod} if pod is not None else {}), **labels}
    plain = {name: text for name, text in own.items() if text}
    if isinstance(value, NativeHistogram):
        return Sample({**plain, KEY_LABEL: tag}, float("nan"), value)
    return Sample({**plain, KEY_LABEL: tag}, value)


def server(pod: str | None = "llama-0", running: float = 4.0, age: float = 5.0, **labels: str) -> tuple[Sample, ...]:
    """A vLLM server with the least that counts as one: how many requests run, and since when that is known."""
    tags: Mapping[str, float] = {"mean": running, "peak": running, "age": age, "first": 900.0}
    own: dict[str, Any] = {"engine": "0", "model_name": "llama"} | labels
    return tuple(series(f"{kind}:running:0", value, pod, **own) for kind, value in tags.items())


def table(*samples: Sample, extra: tuple[str, ...] = (), window_seconds: int = 900) -> FleetTable:
    """What these series make, as one answer."""
    made = FleetTable(Scope(window_seconds, extra=extra))
    made.enter(samples)
    return made


def ask(
    answers: FleetTable,
    *pods: str,
    models: frozenset[str] | None = None,
    late_seconds: float = 0.0,
    address: str = "10.0.0.1",
    **selector: str,
) -> Readings | Missing:
    """The part of these pods, all at one address; of a selector alone where there are none."""
    own = tuple(PodIdentity(pod, address) for pod in pods) or None
    return part_of(
        answers, Asked("serving", selector, own, models, "vllm:num_requests_running"), Taken(NOW, late_seconds)
    )


def readings(answers: FleetTable, *pods: str, **more: Any) -> Readings:
    """The same, which is there."""
    found = ask(answers, *pods, **more)
    assert isinstance(found, Readings), found
    return found
