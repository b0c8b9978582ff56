"""Past hours as Prometheus answers them: a fleet in memory that knows the queries of observe/history_queries.py."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from inferplan.api.values import Engine
from inferplan.dialects.container import Container
from inferplan.observe.history_queries import STEP_SECONDS
from inferplan.observe.meter import Wanted
from inferplan.observe.metric_names import metric_names
from inferplan.observe.prometheus_types import Answer, PrometheusError, RangeAnswer, Series
from inferplan.observe.series_labels import KEY_LABEL
from inferplan.observe.target import Pod, Workload

_TAG = re.compile(rf'"{KEY_LABEL}", "(\w+)"')

NEWEST = 24 * 20_000
"""An hour that ended at midnight."""

NOW = NEWEST * STEP_SECONDS + 1_000.0


@dataclass(frozen=True)
class PastHour:
    """One hour of one pod. Rates are per second, times in seconds."""

    running: float = 8.0
    waiting: float = 0.0
    present: float = 60.0
    requests: float = 2.0
    prompt: float = 500.0
    generation: float = 200.0
    ttft: float = 0.1
    itl: float = 0.012

    def columns(self) -> dict[str, float]:
        """What the queries give."""
        of = {"prompt_tokens": self.prompt, "generation_tokens": self.generation, "ttft": self.ttft}
        plain = {key: getattr(self, key) for key in ("running", "waiting", "present", "requests")}
        tokens = self.requests * self.generation
        plain |= {f"{key}_sum": mean * self.requests for key, mean in of.items()}
        plain |= {f"{key}_count": self.requests for key in of}
        return plain | {"itl_sum": self.itl * tokens, "itl_count": tokens}


@dataclass
class FakeHours:
    """Pods by labels, each with its hours (hours since 1970 at which they ended).

    Attributes:
        pods: Labels and hours of each.
        fails: Text of the PrometheusError that every query gets.
        most_hours: Longest range that is answered.
        warnings: Warnings of every answer.
        hangs: Whether nothing is answered at all.
        asked: First and last hour, and the query, of every question.
    """

    pods: list[tuple[Mapping[str, str], Mapping[int, PastHour]]] = field(default_factory=list)
    fails: str | None = None
    most_hours: int = 11_000
    warnings: int = 0
    hangs: bool = False
    asked: list[tuple[int, int, str]] = field(default_factory=list)

    def put(self, name: str, hours: Mapping[int, PastHour] | Sequence[int], **labels: str) -> None:
        """A pod of the namespace `serving`; hours alone are all the same."""
        plain = hours if isinstance(hours, Mapping) else dict.fromkeys(hours, PastHour())
        own = {"namespace": "serving", "pod": name, "instance": f"{name}:8000", "model_name": "llama"} | labels
        self.pods.append((own, plain))

    async def query(self, promql: str) -> Answer:
        """Nobody asks for the present here."""
        raise PrometheusError(f"no range: {promql}")

    async def query_range(self, promql: str, start: float, end: float, step_seconds: float) -> RangeAnswer:
        """As `observe.prometheus.Prometheus`."""
        assert step_seconds == STEP_SECONDS
        assert start % STEP_SECONDS == end % STEP_SECONDS == 0
        first, last = int(start) // STEP_SECONDS, int(end) // STEP_SECONDS
        self.asked.append((first, last, promql))
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None or last - first >= self.most_hours:
            raise PrometheusError(self.fails or "its answer is larger than 1 MiB")
        answer = range_answer(self.pods, _TAG.findall(promql), (first, last))
        return replace(answer, warnings=self.warnings)


def range_answer(
    pods: Sequence[tuple[Mapping[str, str], Mapping[int, PastHour]]], columns: Sequence[str], span: tuple[int, int]
) -> RangeAnswer:
    """The answer for these columns."""
    series = []
    for labels, hours in pods:
        for column in dict.fromkeys(columns):
            points = [
                (float(hour * STEP_SECONDS), told.columns()[column])
                for hour, told in sorted(hours.items())
                if span[0] <= hour <= span[1]
            ]
            if points:
                series.append(Series({**labels, KEY_LABEL: column}, tuple(points)))
    return RangeAnswer(tuple(series))


def wanted(
    name: str = "llama",
    kind: str | None = "Deployment",
    pods: tuple[str, ...] = ("llama-7d9f5c8b6d-x2x9p",),
    selector: Mapping[str, str] | None = None,
    model_names: frozenset[str] | None = None,
    now: float = NOW,
) -> Wanted:
    """A question for an instance whose pods have run for ten hours."""
    started = datetime.fromtimestamp(now - 10 * STEP_SECONDS, UTC)
    return Wanted(
        namespace="serving",
        selector=selector or {},
        workload=Workload(kind, name, 1, Container("vllm"), "") if kind is not None else None,
        pods=tuple(Pod(pod, f"uid-{pod}", "10.0.0.1", "node", started) for pod in pods) if kind is not None else (),
        engine=Engine.VLLM,
        names=metric_names(Engine.VLLM, "0.20.0"),
        model_names=model_names,
        window_seconds=900,
        port=8000,
        now=datetime.fromtimestamp(now, UTC),
    )
