"""POST /api/v1/analyze over ASGI: where its measurements come from, answers and refusals."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.web import NOW, FakePages, FakeSeen, Service, Time, scrapes

from inferplan.api.exchange import SAMPLE_SECONDS, AnalyzeRequest
from inferplan.diagnose.analyze import analyze
from inferplan.diagnose.bottlenecks import WINDOW_MIN_SECONDS
from inferplan.domain.observation import ReplicaMetrics
from inferplan.domain.seen import SeenInstance
from inferplan.kube.errors import UnreachableError
from inferplan.observe.assemble import Sources, assemble
from inferplan.web import looking
from inferplan.web.measured import stated_metrics
from inferplan.web.openapi import KV_BOUND
from inferplan.web.requests import read_request, spec_of

GOLDENS = Path(__file__).parents[2] / "goldens" / "http"
NAMED = {"instance_id": "some name", "instance_type": "vllm"}
ENGINE = {"instance_id": "localhost:8000", "instance_type": "vllm", "sample_seconds": 25}
INSTANCE = {"instance_id": "serving/llama-8b", "instance_type": "vllm"}
SLO = {"metric": "ttft", "percentile": 95, "target_milliseconds": 500}
KV_BOUND_PAGES = {8000: scrapes("kv-bound", "1", "2")}


def compare(name: str, answer: Any, update: bool) -> None:
    file = GOLDENS / f"{name}.json"
    if update:
        file.write_text(json.dumps(answer, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert answer == json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "body"), [("analyze-kv-bound", KV_BOUND), ("analyze-nothing-known", NAMED)])
async def test_the_whole_answer_is_as_expected(name: str, body: Any, update_goldens: bool) -> None:
    answer = await Service().analyze(body)
    assert answer.status == 200
    compare(name, answer.json, update_goldens)


async def test_stated_metrics_are_diagnosed() -> None:
    found = (await Service().analyze(KV_BOUND)).json
    assert found["cause"] == "KvBound"
    first = found["bottlenecks"][0]
    assert (first["type"], first["metric_name"], first["current_value"]) == ("KvBound", "kv_cache_usage_mean", 0.97)
    assert first["query"] == "metrics.kv_cache_usage_mean of the request"
    ttft, itl = found["slo_statuses"]
    assert (ttft["is_compliant"], ttft["deviation_percent"]) == (False, 480.0)  # (2900 - 500) / 500
    assert (itl["is_compliant"], itl["deviation_percent"]) == (True, -22.5)  # (31 - 40) / 40
    assert 0 <= found["overall_health_score"] < 100
    assert found["health"]["deductions"]
    assert found["recommendations"]
    assert all(isinstance(text, str) for text in found["recommendations"])
    assert len(found["recommendation_codes"]) == len(found["recommendations"])
    assert found["metrics"]["num_requests_waiting"] == {
        "value": 17.0,
        "unit": "requests",
        "low": None,
        "high": None,
        "window_seconds": 900,
        "age_seconds": None,
        "source": "metrics.num_requests_waiting of the request",
    }


async def test_with_nothing_known_nothing_is_claimed() -> None:
    found = (await Service().analyze(NAMED)).json
    assert (found["cause"], found["overall_health_score"]) == ("Unknown", None)
    assert {entry["type"] for entry in found["bottlenecks"]} <= {"MetricsMissing"}
    assert found["health"]["reason"]
    assert any("give metrics or metrics_text" in entry["reason"] for entry in found["unknowns"])


async def test_a_running_engine_is_asked_for_pages_over_the_seconds_that_were_wished() -> None:
    service = Service(FakePages(KV_BOUND_PAGES))
    found = (await service.analyze(ENGINE)).json
    assert found["cause"] == "KvBound"
    assert service.time.slept == [5.0] * 5
    assert service.pages.asked == [
        *["127.0.0.1:8000/metrics as localhost:8000"] * 6,
        "127.0.0.1:8000/version as localhost:8000",
    ]
    observed = found["observed"]
    assert observed["source"] == "6 pages of http://localhost:8000/metrics"
    assert observed["observed_at"] == "2026-03-01T12:00:25Z"
    assert observed["engine_version"] == "0.33.0"
    assert observed["model"]
    assert any("within 25 s" in note for note in observed["notes"])


@pytest.mark.parametrize(("seconds", "slept"), [(1, [1.0]), (2, [1.0, 1.0]), (30, [6.0] * 5)])
async def test_there_are_two_to_six_pages(seconds: int, slept: list[float]) -> None:
    service = Service(FakePages(KV_BOUND_PAGES))
    assert (await service.analyze({**ENGINE, "sample_seconds": seconds})).status == 200
    assert service.time.slept == slept


async def test_by_default_enough_is_sampled_to_name_a_cause() -> None:
    service = Service(FakePages(KV_BOUND_PAGES))
    answer = await service.analyze({"instance_id": "http://[::1]:8000", "instance_type": "vllm"})
    assert sum(service.time.slept) == SAMPLE_SECONDS == WINDOW_MIN_SECONDS
    assert answer.json["cause"] == "KvBound"
    assert service.pages.asked[0] == "::1:8000/metrics as [::1]:8000"


async def test_metrics_in_the_body_win_and_nothing_is_connected_to() -> None:
    service = Service(FakePages(KV_BOUND_PAGES))
    found = (await service.analyze({**KV_BOUND, "instance_id": "localhost:8000"})).json
    assert found["observed"]["source"] == "metrics of the request"
    assert service.pages.asked == []


@pytest.mark.parametrize(
    "place",
    ["10.0.0.1:8000", "169.254.169.254:80", "evil.example:8000", "[fd00:ec2::254]:80", "[::ffff:10.0.0.1]:8000"],
)
async def test_what_is_not_allowed_is_403_without_connection_and_look_up(place: str) -> None:
    service = Service(FakePages({8000: ["x 1\n"], 80: ["x 1\n"]}))
    answer = await service.analyze({**ENGINE, "instance_id": place})
    assert answer.status == 403
    assert answer.json["field"] == "instance_id"
    assert "is not on the administrator's list, and was not connected to" in answer.json["error"]
    assert (service.pages.asked, service.resolver.asked) == ([], [])


@pytest.mark.parametrize(
    "place",
    [
        "2130706433:8000", "0x7f.1:8000", "127.1:8000", "user@localhost:8000", "localhost%00:8000", "localhost.:8000",
        "bücher.example:8000", "[fe80::1%eth0]:8000", "localhost:0", "localhost:65536", "https://localhost:8000",
        "http://localhost:8000/admin", "file:///etc/passwd", "::1:8000", "local\nhost:8000",
    ],
)  # fmt: skip
async def test_an_odd_spelling_is_422_in_one_line(place: str) -> None:
    service = Service(FakePages(KV_BOUND_PAGES))
    answer = await service.analyze({**ENGINE, "instance_id": place})
    assert answer.status == 422
    assert answer.json["field"] == "instance_id"
    assert "\n" not in answer.json["error"]
    assert service.pages.asked == []


async def test_a_very_long_id_is_422() -> None:
    answer = await Service().analyze({**ENGINE, "instance_id": "a" * 10_000 + ":8000"})
    assert answer.status == 422
    assert len(answer.json["error"]) < 200


async def test_an_engine_that_does_not_answer_is_an_unknown_and_no_mistake_of_the_request() -> None:
    answer = await Service().analyze({**ENGINE, "slo_targets": [SLO]})
    assert answer.status == 200
    found = answer.json
    assert (found["cause"], found["overall_health_score"]) == ("Unknown", None)
    told = "http://localhost:8000: /metrics cannot be read: Connection refused"
    assert any(told in entry["reason"] for entry in found["unknowns"])
    assert found["slo_statuses"][0]["is_compliant"] is None


@pytest.mark.parametrize("page", ["<html>no</html>\n", "", "a 1\n", "\x00"])
async def test_a_page_that_is_none_of_an_engine_is_an_unknown(page: str) -> None:
    answer = await Service(FakePages({8000: [page]})).analyze(ENGINE)
    assert answer.status == 200
    assert answer.json["cause"] == "Unknown"


async def test_only_a_few_engines_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "LOOKS_MAX", 1)
    service = Service(FakePages(KV_BOUND_PAGES))
    first, second = await asyncio.gather(service.analyze(ENGINE), service.analyze(ENGINE))
    assert sorted((first.status, second.status)) == [200, 503]
    refused = first if first.status == 503 else second
    assert "being read already" in refused.json["error"]
    assert refused.headers["retry-after"] == "5"
    assert (await service.analyze(ENGINE)).status == 200


async def test_pages_as_text_give_rates_over_the_interval() -> None:
    body = {**NAMED, "metrics_text": scrapes("kv-bound", "1", "2"), "interval_seconds": 60}
    found = (await Service().analyze(body)).json
    assert found["cause"] == "KvBound"
    assert found["observed"]["source"] == "metrics_text of the request"
    assert found["metrics"]["requests_per_second"]["window_seconds"] == 60


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"metrics_text": ["nothing"]}, "metrics_text", "not a "),
        ({"metrics_text": scrapes("kv-bound", "1", "2")}, "metrics_text", "time between"),
        ({"metrics_text": ["a 1\n"] * 9}, "metrics_text", "at most 8"),
        ({"metrics_text": "a 1\n"}, "metrics_text", "must be"),
        ({"metrics_text": ["a 1\n"], "metrics": {"kv_cache_usage": 1}}, "metrics_text", "give one"),
        ({"sample_seconds": 0}, "sample_seconds", "greater than or equal to 1"),
        ({"sample_seconds": 31}, "sample_seconds", "less than or equal to 30"),
        ({"sample_seconds": "x"}, "sample_seconds", "must be a valid number"),
        ({"interval_seconds": 0}, "interval_seconds", "greater than or equal to 1"),
        ({"constraints": {}}, "constraints", "unknown field"),
        ({"metrics": {"kv_cache_usge": 1}}, "metrics.kv_cache_usge", 'did you mean "kv_cache_usage"?'),
        ({"metrics": {"ttft_p95_milliseconds": 0}}, "metrics.ttft_p95_milliseconds", "greater than 0"),
        ({"metrics": {"uptime_seconds": 1e300}}, "metrics.uptime_seconds", "at most 1e+12"),
        (
            {"metrics": {"latency_percentiles": [{"metric": "e2e", "percentile": 95, "milliseconds": 1}] * 2}},
            "metrics.latency_percentiles",
            "e2e p95 is given twice",
        ),
        (
            {"metrics": {"latency_percentiles": [{"metric": "x", "percentile": 95, "milliseconds": 1}]}},
            "metrics.latency_percentiles[0].metric",
            "allowed: ttft, itl, tpot, e2e",
        ),
        ({"current_config": {"max_batchsize": 1}}, "current_config.max_batchsize", 'did you mean "max_batch_size"?'),
        ({"slo_targets": [{**SLO, "metric": "speed"}]}, "slo_targets[0].metric", "allowed: ttft, itl, tpot, e2e"),
        ({"model": {"config_map_ref": {"name": "a"}}}, "model.config_map_ref", "no cluster is asked here"),
    ],
)
async def test_every_mistake_is_told_in_one_line_with_field(change: dict[str, Any], field: str, told: str) -> None:
    answer = await Service().analyze({**NAMED, **change})
    assert answer.status == 422
    assert answer.json["field"] == field
    assert told in answer.json["error"]
    assert "\n" not in answer.json["error"]


async def test_an_unknown_engine_is_400() -> None:
    answer = await Service().analyze({**NAMED, "instance_type": "ollama"})
    assert answer.status == 400
    assert answer.json["allowed"] == ["vllm", "sglang", "tgi"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"instance_id": "a"}'])
async def test_a_body_that_is_none_is_422(body: bytes) -> None:
    assert (await Service().analyze(body)).status == 422


async def test_a_percentile_of_any_latency_can_be_stated() -> None:
    stated = [{"metric": "e2e", "percentile": 90, "milliseconds": 4000}]
    target = {"metric": "e2e", "percentile": 90, "target_milliseconds": 5000}
    body = {**NAMED, "metrics": {"latency_percentiles": stated}, "slo_targets": [target]}
    (status,) = (await Service().analyze(body)).json["slo_statuses"]
    assert (status["current_value"], status["is_compliant"], status["deviation_percent"]) == (4000, True, -20.0)


def seen_instance(*, whole: bool) -> SeenInstance:
    request = read_request(json.dumps(KV_BOUND).encode(), AnalyzeRequest)
    spec = spec_of(request)
    observation = assemble(Sources(spec, metrics=stated_metrics(request.metrics, spec.slo))).observation
    return SeenInstance(spec.engine, NOW, analyze(observation, spec.slo), observation if whole else None)


def operators(seen: SeenInstance) -> Service:
    return Service(seen=FakeSeen({("serving", "llama-8b"): seen}))


async def test_an_instance_of_the_cluster_is_what_the_operator_saw_last() -> None:
    service = operators(seen_instance(whole=True))
    await service.time.sleep(90)
    found = (await service.analyze(INSTANCE)).json
    assert found["cause"] == "KvBound"
    assert len(found["slo_statuses"]) == 2
    observed = found["observed"]
    assert (observed["observed_at"], observed["age_seconds"]) == ("2026-03-01T12:00:00Z", 90.0)
    assert observed["engine_version"] == "0.33.0"
    assert found["metrics"]["kv_cache_usage"]["value"] == 0.998
    assert service.pages.asked == []


async def test_replicas_of_an_instance_stand_side_by_side() -> None:
    seen = seen_instance(whole=True)
    assert seen.observation is not None
    both = (ReplicaMetrics("p-1", num_requests_running=8.25), ReplicaMetrics("p" * 300, requests_per_second=1.23456))
    found = (
        await operators(replace(seen, observation=replace(seen.observation, replica_metrics=both))).analyze(INSTANCE)
    ).json
    first, second = found["replicas"]
    assert (first["name"], first["num_requests_running"], first["requests_per_second"]) == ("p-1", 8.25, None)
    assert (second["name"], second["requests_per_second"]) == ("p" * 256, 1.23)
    alone = replace(seen, observation=replace(seen.observation, replica_metrics=both[:1]))
    assert (await operators(alone).analyze(INSTANCE)).json["replicas"] == []


async def test_targets_of_the_request_are_held_against_the_operators_look() -> None:
    found = (await operators(seen_instance(whole=True)).analyze({**INSTANCE, "slo_targets": [SLO]})).json
    assert [entry["is_compliant"] for entry in found["slo_statuses"]] == [False]


async def test_after_a_restart_of_the_operator_the_stored_outcome_is_answered_and_said_to_be_that() -> None:
    found = (await operators(seen_instance(whole=False)).analyze({**INSTANCE, "slo_targets": [SLO]})).json
    assert found["cause"] == "KvBound"
    assert len(found["slo_statuses"]) == 2
    assert found["metrics"] == {}
    assert len(found["observed"]["notes"]) == 2


async def test_an_instance_that_the_operator_never_saw_is_404() -> None:
    answer = await operators(seen_instance(whole=True)).analyze({**INSTANCE, "instance_id": "serving/other"})
    assert answer.status == 404
    assert "serving/other: the operator has not seen such an instance" in answer.json["error"]


async def test_without_a_cluster_an_instance_of_one_is_404_that_says_so() -> None:
    answer = await Service().analyze(INSTANCE)
    assert answer.status == 404
    assert "this service has none" in answer.json["error"]


async def test_an_instance_with_metrics_in_the_body_needs_no_cluster() -> None:
    assert (await Service().analyze({**INSTANCE, "metrics": KV_BOUND["metrics"]})).status == 200


async def test_an_instance_of_another_engine_is_422() -> None:
    answer = await operators(seen_instance(whole=True)).analyze({**INSTANCE, "instance_type": "sglang"})
    assert answer.status == 422
    assert (answer.json["field"], answer.json["allowed"]) == ("instance_type", ["vllm"])


async def test_a_cluster_that_does_not_answer_is_503() -> None:
    service = Service(seen=FakeSeen(error=UnreachableError("503: GET /apis/…: no")))
    answer = await service.analyze(INSTANCE)
    assert answer.status == 503
    assert answer.json["error"] == "the cluster does not answer: 503: GET /apis/…: no"


async def test_a_name_with_a_slash_that_is_no_object_is_a_name() -> None:
    assert (await Service().analyze({**NAMED, "instance_id": "meta-llama/Llama-3.1-8B"})).status == 200


def test_time_moves_only_by_sleeping() -> None:
    assert Time()() == NOW
