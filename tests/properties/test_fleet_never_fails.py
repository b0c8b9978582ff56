"""Whatever a Prometheus answers to a fleet's queries, an instance gets its measurements or the reason why not."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from inferplan.api.instance import SLO, SLOMetric
from inferplan.api.values import Engine
from inferplan.domain.measurement import Missing
from inferplan.observe.fleet_part import Asked, PodIdentity, Taken, part_of
from inferplan.observe.fleet_queries import ON_DEMAND, Scope, fleet_queries
from inferplan.observe.fleet_table import FleetTable
from inferplan.observe.metric_names import metric_names
from inferplan.observe.prometheus_types import NativeBucket, NativeHistogram, Sample
from inferplan.observe.reduce import reduce
from inferplan.observe.series_labels import KEY_LABEL

TAGS = re.findall(rf'"{KEY_LABEL}", "([\w:]+)"', "\n".join(fleet_queries(Scope(900, demanded=frozenset(ON_DEMAND)))))
SLOS = (SLO(metric=SLOMetric.E2E, percentile=95, target_milliseconds=100),)
PODS = (PodIdentity("llama-0", "10.0.0.1"), PodIdentity("llama-1", "10.0.0.2"))

numbers = st.one_of(st.floats(), st.sampled_from((0.0, 1.0, -1.0, 1e300)), st.floats(0, 100))
NAMESPACES = st.sampled_from(("serving", "serving", "other", ""))
some = {
    "pod": st.sampled_from(("llama-0", "llama-1", "foreign-0")),
    "instance": st.sampled_from(("10.0.0.1:8000", "10.0.0.2:8000", "llama:8000", "[::1]:8000", "")),
    "model_name": st.sampled_from(("llama", "mistral")),
    "engine": st.sampled_from(("0", "1")),
    "app": st.sampled_from(("a", "b")),
    "le": st.sampled_from(("0.1", "1", "1.0", "+Inf", "NaN", "x", "-1")),
    "finished_reason": st.sampled_from(("stop", "abort")),
    "reason": st.sampled_from(("capacity", "other")),
    "block_size": st.sampled_from(("16", "None")),
    "num_gpu_blocks": st.sampled_from(("100", "9" * 40)),
    "exported_namespace": st.just("serving"),
    "exported_pod": st.just("llama-0"),
}
bounds = st.lists(st.floats(-10, 1000), min_size=2, max_size=5, unique=True).map(sorted)


@st.composite
def natives(draw: st.DrawFn) -> NativeHistogram:
    edges = draw(bounds)
    buckets = tuple(NativeBucket(low, high, draw(st.floats(0, 100))) for low, high in pairwise(edges))
    return NativeHistogram(draw(numbers), draw(numbers), buckets)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    labels = draw(st.fixed_dictionaries({"namespace": NAMESPACES}, optional=some))
    tag = draw(st.one_of(st.sampled_from(TAGS), st.sampled_from(("", "bucket:", "x:y:z", "mean:running:99"))))
    histogram = draw(natives()) if tag.startswith("native") and draw(st.booleans()) else None
    return Sample({**labels, KEY_LABEL: tag}, draw(numbers), histogram)


@given(st.lists(samples(), max_size=40), st.booleans(), st.sampled_from(({}, {"app": "a"}, {"le": "1"}, {"job": "x"})))
def test_any_answer_gives_measurements_or_a_reason(
    found: list[Sample], by_pods: bool, selector: dict[str, str]
) -> None:
    table = FleetTable(Scope(900, extra=("app",)))
    table.enter(found)
    asked = Asked("serving", selector, PODS if by_pods else None, frozenset({"llama"}), "vllm:num_requests_running")
    part = part_of(table, asked, Taken(1_800_000_000.0, 5.0))
    if isinstance(part, Missing):
        assert part.reason
        return
    assert {replica.name for replica in part.replicas} <= {"llama-0", "llama-1"} or not by_pods or selector
    measured = reduce(part, metric_names(Engine.VLLM, "0.33.0"), SLOS)
    assert all(0 <= value.value <= 1e15 for value in measured.metrics.measured().values())
