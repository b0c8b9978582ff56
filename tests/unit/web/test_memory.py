"""Analyze, then optimize: what was seen is used for a while, is said to be used, and is never made up."""

from datetime import timedelta
from typing import Any

import pytest
from tests.support.web import NOW, FakePages, Service, scrapes

from inferplan.api.measured_metrics import MeasuredMetrics
from inferplan.domain.measurement import Measured
from inferplan.domain.observation import METRIC_FIELDS, Metrics
from inferplan.web.measured import stated_metrics
from inferplan.web.memory import ENTRIES_MAX, InstanceId, Sighting, SightingMemory, aged
from inferplan.web.openapi import KV_BOUND, MEASURED, NOTHING_KNOWN

ENGINE = {"instance_id": "localhost:8000", "instance_type": "vllm"}
CAPPED: dict[str, Any] = {
    **ENGINE,
    "metrics": {"num_requests_running": 32, "num_requests_waiting": 12, "kv_cache_usage": 0.3, "window_seconds": 60},
}
SETTINGS: dict[str, Any] = {**ENGINE, "current_config": {"max_batch_size": 32, "max_model_len": 4096}}


def metrics(running: float = 1) -> Metrics:
    return stated_metrics(MeasuredMetrics(num_requests_running=running, window_seconds=60))


async def test_nothing_seen_leaves_the_contract_s_answer_as_it_is() -> None:
    answer = (await Service().optimize(NOTHING_KNOWN)).json
    assert answer["priority_order"] == ["quantization_0", "batching_1"]
    assert answer["observed"] is None


async def test_a_look_that_measured_nothing_changes_nothing() -> None:
    service = Service()
    assert (await service.analyze(ENGINE)).json["cause"] == "Unknown"
    answer = (await service.optimize(NOTHING_KNOWN)).json
    assert (answer["priority_order"], answer["observed"]) == (["quantization_0", "batching_1"], None)


async def test_optimize_uses_what_analyze_saw_and_says_so_with_its_age() -> None:
    service = Service(FakePages({8000: scrapes("scheduler-capped", "1", "2")}))
    analysis = (await service.analyze({**ENGINE, "current_config": {"max_batch_size": 4}})).json
    fetched = len(service.pages.asked)
    await service.time.sleep(120)
    plan = (await service.optimize(SETTINGS)).json
    assert len(service.pages.asked) == fetched  # optimize connects to nothing
    observed = plan["observed"]
    assert observed["source"] == "6 pages of http://localhost:8000/metrics, seen by analyze 120 s ago"
    assert (observed["observed_at"], observed["age_seconds"]) == (analysis["timestamp"], 120.0)
    assert observed["engine_version"] == "0.33.0"
    assert observed["model"] == analysis["observed"]["model"]
    assert all(entry["source"] != "ruleOfThumb" for entry in plan["optimizations"])


async def test_the_evidence_of_a_change_says_when_it_was_seen() -> None:
    service = Service()
    await service.analyze(MEASURED)
    await service.time.sleep(30)
    seen = await service.optimize({name: value for name, value in MEASURED.items() if name != "metrics"})
    evidence = [
        fact["query"]
        for entry in seen.json["optimizations"]
        for change in entry["config_changes"]
        for fact in change["evidence"]
        if fact["query"]
    ]
    assert "metrics.num_requests_running of the request, seen by analyze 30 s ago" in evidence


async def test_metrics_of_the_optimize_request_win() -> None:
    service = Service()
    await service.analyze({**KV_BOUND, "instance_id": "localhost:8000"})
    assert (await service.optimize({**CAPPED, **SETTINGS})).json["observed"] is None
    assert (await service.optimize({**SETTINGS, "metrics": {}})).json["observed"] is not None


@pytest.mark.parametrize("other", [{"instance_id": "localhost:8001"}, {"instance_type": "sglang"}])
async def test_another_instance_knows_nothing_of_it(other: dict[str, str]) -> None:
    service = Service()
    await service.analyze(CAPPED)
    assert (await service.optimize({**ENGINE, **other})).json["observed"] is None


async def test_after_a_quarter_of_an_hour_it_is_forgotten() -> None:
    service = Service()
    await service.analyze(CAPPED)
    await service.time.sleep(15 * 60)
    assert (await service.optimize(SETTINGS)).json["observed"] is not None
    await service.time.sleep(1)
    assert (await service.optimize(SETTINGS)).json["observed"] is None


def test_only_so_many_instances_are_remembered() -> None:
    memory = SightingMemory()
    ids = [InstanceId(str(number), "vllm") for number in range(ENTRIES_MAX + 1)]
    for instance in ids:
        memory.put(instance, Sighting("test", metrics()), NOW)
    assert memory.get(ids[0], NOW) is None
    assert memory.get(ids[1], NOW) is not None
    assert memory.get(ids[-1], NOW) is not None


def test_a_newer_look_takes_the_place_of_an_older_one() -> None:
    memory, instance = SightingMemory(), InstanceId("a", "vllm")
    for running in (1, 2):
        memory.put(instance, Sighting("test", metrics(running)), NOW)
    found = memory.get(instance, NOW)
    assert found is not None
    assert found.sighting.metrics.num_requests_running == metrics(2).num_requests_running


def test_its_age_counts_from_when_it_was_seen_and_is_never_negative() -> None:
    memory, instance = SightingMemory(), InstanceId("a", "vllm")
    memory.put(instance, Sighting("test", metrics(), NOW - timedelta(minutes=14)), NOW)
    found = memory.get(instance, NOW)
    assert found is not None
    assert found.seconds(NOW) == 14 * 60
    assert found.seconds(NOW - timedelta(hours=1)) == 0
    assert memory.get(instance, NOW + timedelta(minutes=2)) is None


def test_ageing_keeps_values_and_reasons() -> None:
    before = stated_metrics(MeasuredMetrics(num_requests_running=3, window_seconds=60))
    after = aged(before, 42.4)
    running = after.num_requests_running
    assert isinstance(running, Measured)
    assert running == Measured(
        3,
        "requests",
        "metrics.num_requests_running of the request, seen by analyze 42 s ago",
        60,
        age_seconds=42.4,
    )
    assert after.kv_cache_usage == before.kv_cache_usage


def test_a_source_never_grows_beyond_what_evidence_holds() -> None:
    long = Metrics(num_requests_running=Measured(1, "requests", "x" * 5000))
    source = aged(long, 1).measured()["num_requests_running"].source
    assert len(source) <= 4096
    assert source.endswith("1 s ago")


def test_everything_that_a_request_can_state_is_a_measurement() -> None:
    own = set(MeasuredMetrics.model_fields) - {"window_seconds", "latency_percentiles"}
    assert own <= set(METRIC_FIELDS)
    values = dict.fromkeys(own, 1)
    measured = stated_metrics(MeasuredMetrics.model_validate(values)).measured()
    assert set(measured) == own
    assert all(entry.unit for entry in measured.values())
