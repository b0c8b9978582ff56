"""Numbers that a request states, beside those that are read."""

from tests.support.readings import a_gauge, a_replica, readings

from inferplan.api.measured_metrics import MeasuredMetrics
from inferplan.api.values import Engine
from inferplan.observe.metric_names import metric_names
from inferplan.observe.reduce import reduce
from inferplan.web.measured import stated_metrics


def test_a_number_has_the_same_unit_stated_as_read() -> None:
    busy = {"gpu_memory_busy": a_gauge(0.2), "gpu_tensor_busy": a_gauge(0.2)}
    drafts = {"draft_tokens": 9.0, "accepted_tokens": 3.0}
    replica = a_replica(gauges=busy, rates=drafts)
    read = reduce(readings(replica), metric_names(Engine.VLLM, "0.33.0"), ()).metrics.measured()
    numbers = {name: 1 for name in MeasuredMetrics.model_fields if name != "latency_percentiles"}
    stated = stated_metrics(MeasuredMetrics.model_validate(numbers)).measured()
    assert {name: entry.unit for name, entry in stated.items()} == {name: read[name].unit for name in stated}
