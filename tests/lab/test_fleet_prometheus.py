"""A fleet of fake engines, read from the real Prometheus: every query is valid, and every number right."""

import asyncio
import json
import math
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.prometheus_client import client
from tests.support.real_prometheus import prometheus, serving_pages, target

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.readings import Gauge, Readings, ReplicaReadings
from inferplan.observe.fleet import FleetReader, PodIdentity, Snapshot
from inferplan.observe.fleet_matchers import own_matchers
from inferplan.observe.fleet_part import Asked
from inferplan.observe.fleet_queries import ON_DEMAND, Scope, fleet_queries
from inferplan.observe.histograms import percentile_of
from inferplan.observe.series_labels import KUBERNETES_LABELS
from inferplan_lab.processes import wait_until

WINDOW = 12
CHANGE_SECONDS = 8.0
"""When a process starts anew, one pod goes and another comes: seconds after the first page was served."""

SETTLED_SECONDS = 16.0
RUNNING = "vllm:num_requests_running"
HOSTILE = 'x"} or vector(1) or up{a="'
TTFT = (("0.1", 0.5), ("0.2", 0.9), ("0.5", 1.0), ("+Inf", 1.0))
SLOW = (("0.1", 0.0), ("0.2", 0.0), ("0.5", 0.5), ("+Inf", 1.0))


@dataclass
class Page:
    """A page of an engine that has run for `seconds`."""

    seconds: float
    lines: list[str] = field(default_factory=list)

    def put(self, name: str, value: float, **labels: str) -> None:
        text = ",".join(f'{label}="{value}"' for label, value in labels.items())
        self.lines.append(f"{name}{{{text}}} {value}")

    def kind(self, kind: str, name: str) -> None:
        self.lines.append(f"# TYPE {name} {kind}")

    def counter(self, name: str, rate: float, **labels: str) -> None:
        self.put(name, rate * self.seconds, **labels)

    def histogram(self, name: str, rate: float, mean: float, shares: Any = TTFT, **labels: str) -> None:
        self.kind("histogram", name)
        for bound, share in shares:
            self.counter(f"{name}_bucket", rate * share, le=bound, **labels)
        self.counter(f"{name}_sum", rate * mean, **labels)
        self.counter(f"{name}_count", rate, **labels)

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def vllm(page: Page, engine: str = "0", rate: float = 2.0, shares: Any = TTFT, model: str = "llama") -> None:
    own = {"engine": engine, "model_name": model}
    page.put("vllm:num_requests_running", 4.0, **own)
    page.put("vllm:num_requests_waiting", 10.0 if int(page.seconds) % 2 else 0.0, **own)
    page.put("vllm:num_requests_waiting_by_reason", 3.0, reason="capacity", **own)
    page.put("vllm:num_requests_waiting_by_reason", 2.0, reason="deferred", **own)
    page.put("vllm:kv_cache_usage_perc", 0.25 * (1 + int(engine)), **own)
    page.put("vllm:cache_config_info", 1, block_size="16", num_gpu_blocks="1000", cache_dtype="auto", **own)
    for reason, share in (("stop", 0.75), ("abort", 0.25)):
        page.counter("vllm:request_success_total", rate * share, finished_reason=reason, **own)
    page.counter("vllm:prompt_tokens_total", 100 * rate, **own)
    page.histogram("vllm:time_to_first_token_seconds", rate, 0.12, shares, **own)
    page.histogram("vllm:request_queue_time_seconds", rate, 0.05, **own)


def busy(page: Page) -> None:
    """Two schedulers, and a counter that has no label of them."""
    vllm(page)
    vllm(page, engine="1", rate=1.0)
    page.counter("vllm:admission_rejections_total", 0.5, model_name="llama", reason="queue_full")
    page.counter("vllm:admission_rejections_total", 0.25, model_name="llama", reason="deadline")
    page.put("process_start_time_seconds", 1_700_000_000.0)


def plain(page: Page) -> None:
    vllm(page)
    page.put("process_start_time_seconds", 1_700_000_000.0)


def slow(page: Page) -> None:
    vllm(page, shares=SLOW)


def old(page: Page) -> None:
    """vLLM 0.10.2: names of two ages side by side, of which only the newer ones are kept up."""
    own = {"engine": "0", "model_name": "llama"}
    page.put("vllm:num_requests_running", 1.0, **own)
    page.put("vllm:num_requests_waiting", 0.0, **own)
    page.put("vllm:kv_cache_usage_perc", 0.5, **own)
    page.put("vllm:gpu_cache_usage_perc", 0.9, **own)
    page.histogram("vllm:inter_token_latency_seconds", 4.0, 0.02, **own)
    page.histogram("vllm:time_per_output_token_seconds", 4.0, 0.9, **own)


def older(page: Page) -> None:
    """vLLM 0.8.5."""
    own = {"engine": "0", "model_name": "llama"}
    page.put("vllm:num_requests_running", 1.0, **own)
    page.put("vllm:gpu_cache_usage_perc", 0.9, **own)
    page.histogram("vllm:time_per_output_token_seconds", 4.0, 0.04, **own)


def sglang(page: Page) -> None:
    """Two data-parallel schedulers of two workers each, which tell the same."""
    for dp, tp in (("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")):
        own = {"dp_rank": dp, "tp_rank": tp, "model_name": "qwen", "engine_type": "unified"}
        page.put("sglang:num_running_reqs", 3.0, **own)
        page.put("sglang:token_usage", 0.3 + 0.1 * int(dp), **own)
        page.put("sglang:max_total_num_tokens", 5_000.0, **own)
    page.counter("sglang:prompt_tokens_total", 100.0, model_name="qwen")
    for source, rate in (("device", 30.0), ("host", 10.0)):
        page.counter("sglang:cached_tokens_total", rate, cache_source=source, model_name="qwen")
    page.counter("sglang:num_requests_total", 1.5, model_name="qwen")


def renamed(page: Page) -> None:
    """What a collector passes on for which a colon is no letter."""
    vllm(page)
    page.lines[:] = [line.replace("vllm:", "vllm_") for line in page.lines]


def both(page: Page) -> None:
    """The same once more, under the engine's own names."""
    renamed(page)
    vllm(page)


def faulty(page: Page) -> None:
    """What no engine tells, in one second of six."""
    vllm(page)
    for name in ("requests_running", "usage_perc", "vllm:prompt_tokens_total") if int(page.seconds) % 6 == 0 else ():
        page.lines[:] = [" -".join(line.rsplit(" ", 1)) if name in line else line for line in page.lines]


def queueing(page: Page) -> None:
    """A queue that grows by one in two seconds."""
    vllm(page)
    page.lines[:] = [line for line in page.lines if "requests_waiting{" not in line]
    page.put("vllm:num_requests_waiting", 0.5 * page.seconds, engine="0", model_name="llama")


def restarted(page: Page) -> None:
    """A process that starts anew at a time."""
    again = page.seconds >= CHANGE_SECONDS
    vllm(Page(page.seconds - CHANGE_SECONDS if again else page.seconds, page.lines))
    page.put("process_start_time_seconds", 1_700_000_100.0 if again else 1_700_000_000.0)


def gone(page: Page) -> None:
    if page.seconds < CHANGE_SECONDS:
        vllm(page)


def come(page: Page) -> None:
    if page.seconds >= CHANGE_SECONDS:
        vllm(Page(page.seconds - CHANGE_SECONDS, page.lines))


def two_models(page: Page) -> None:
    vllm(page, model="llama")
    vllm(page, model="mistral", rate=5.0)


def gpus(page: Page) -> None:
    for gpu, busy_share in (("0", 0.6), ("1", 0.8)):
        own = {"gpu": gpu, "namespace": "serving", "pod": "busy-0", "container": "vllm"}
        page.put("DCGM_FI_PROF_DRAM_ACTIVE", busy_share, **own)
        page.put("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", busy_share / 2, **own)


PAGES = {
    f"/{make.__name__}": make
    for make in (
        busy,
        plain,
        slow,
        old,
        older,
        sglang,
        renamed,
        both,
        faulty,
        queueing,
        restarted,
        gone,
        come,
        two_models,
        gpus,
    )
}


def configuration(address: str) -> Mapping[str, Any]:
    def pod(page: str, name: str, host: str, **labels: str) -> dict[str, Any]:
        return target(address, f"/{page}", namespace="serving", pod=name, instance=f"{host}:8000", **labels)

    def job(name: str, *targets: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"job_name": name, "static_configs": list(targets), **more}

    monitors = [
        pod("busy", "busy-0", "10.0.0.1", app="busy"),
        pod("plain", "plain-0", "10.0.0.2", app="plain"),
        pod("old", "old-0", "10.0.0.3"),
        pod("older", "older-0", "10.0.0.4"),
        pod("restarted", "restarted-0", "10.0.0.5"),
        pod("gone", "churn-5c8b7d9f6d-b2x9p", "10.0.0.6", app="churn"),
        pod("come", "churn-7d9f5c8b6d-b2x9p", "10.0.0.7", app="churn"),
        pod("two_models", "two-0", "10.0.0.8"),
        pod("renamed", "renamed-0", "10.0.0.12"),
        pod("both", "both-0", "10.0.0.13"),
        pod("faulty", "faulty-0", "10.0.0.14"),
        pod("queueing", "queueing-0", "10.0.0.15"),
        target(address, "/sglang", namespace="serving", instance="10.0.0.9:30000"),
        target(address, "/plain", namespace="serving", instance="10.0.0.10:8000"),
        target(address, "/plain", namespace="other", pod="busy-0", instance="10.0.0.11:8000", app="busy"),
        target(address, "/plain", namespace="serving", instance="llama.serving.svc:8000", app="by-service"),
    ]
    again = [
        pod("busy", "busy-0", "10.0.0.1", service="busy"),  # a second monitor of the same address
        target(address, "/plain", namespace="serving", pod="plain-0", instance="plain.serving.svc:8000"),
    ]
    natives = [pod("plain", "native-0", "10.0.1.1"), pod("slow", "native-1", "10.0.1.2")]
    exporter = target(address, "/gpus", namespace="gpu-operator", pod="dcgm-x", instance="10.0.2.1:9400")
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            job("pods", *monitors),
            job("services", *again),
            job("native", *natives, convert_classic_histograms_to_nhcb=True),
            job("dcgm", exporter),
        ],
    }


@dataclass(frozen=True)
class Fleet:
    """What was read, and where from."""

    url: str
    snapshot: Snapshot

    def ask(self, *pods: tuple[str, str], models: frozenset[str] | None = None, **selector: str) -> Readings | Missing:
        """The part of these pods (name, address); of none, of a selector."""
        own = tuple(PodIdentity(*pod) for pod in pods) or None
        return self.snapshot.readings(Asked("serving", selector, own, models, RUNNING))

    def one(self, name: str, address: str = "10.9.9.9", **selector: str) -> ReplicaReadings:
        found = self.ask((name, address), **selector)
        assert isinstance(found, Readings), found
        (replica,) = found.replicas
        return replica


def result(url: str, query: str) -> list[dict[str, Any]]:
    data = urllib.parse.urlencode({"query": query}).encode()
    with urllib.request.urlopen(f"{url}/api/v1/query", data=data, timeout=30) as answer:
        found: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
    return found


def present() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


async def read(url: str) -> Snapshot:
    async with client(url, timeout_seconds=30) as source:
        reader = FleetReader(
            source, KUBERNETES_LABELS, lambda: datetime.fromtimestamp(time.time(), UTC), time.monotonic
        )
        return await reader.read(WINDOW, frozenset({"app"}))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    started: list[float] = []

    def page(path: str) -> str | None:
        if not started:
            started.append(time.time())
        made = Page(time.time() - started[0])
        PAGES[path](made)
        return made.text() if made.lines else None

    folder: Path = tmp_path_factory.mktemp("fleet")
    with serving_pages(page) as address, prometheus(folder, configuration(address)) as url:
        wait_until(lambda: bool(started) and time.time() - started[0] > SETTLED_SECONDS, 60, "sixteen seconds of data")
        yield Fleet(url, asyncio.run(read(url)))


def test_schedulers_add_up_and_a_series_that_two_monitors_scrape_counts_once(fleet: Fleet) -> None:
    found = fleet.one("busy-0")
    assert (found.ranks, found.seconds) == (2, WINDOW)
    assert found.gauges["running"] == Gauge(8.0, 8.0)
    assert found.gauges["waiting"].peak == 20.0
    assert found.gauges["waiting"].mean == pytest.approx(10.0, rel=0.3)  # 20 and 0, by turns
    assert found.gauges["kv_usage"] == Gauge(0.5, 0.5, 0.5)
    assert found.splits["waiting_by_reason"] == {"capacity": 6.0, "deferred": 4.0}
    assert found.rates["requests"] == pytest.approx(3.0, rel=0.05)  # 2 + 1 per second
    assert found.splits["requests"] == pytest.approx({"stop": 2.25, "abort": 0.75}, rel=0.05)
    assert found.rates["rejected"] == pytest.approx(0.75, rel=0.05)
    assert found.rates["prefill_tokens"] == pytest.approx(300.0, rel=0.05)
    assert found.kv_cache_tokens == 32_000.0
    assert found.cache_labels["num_gpu_blocks"] == "1000"
    assert 0 <= found.age_seconds < 30
    assert found.uptime_seconds == pytest.approx(time.time() - 1_700_000_000, rel=0.01)
    assert found.restarts == 0


def test_histograms_have_what_was_observed_in_the_window(fleet: Fleet) -> None:
    found = fleet.one("busy-0").histograms
    ttft = found["ttft"]
    assert ttft.count == pytest.approx(36.0, rel=0.05)  # 3 per second
    assert ttft.mean == pytest.approx(0.12, rel=0.01)
    assert [bound for bound, _ in ttft.buckets] == [0.1, 0.2, 0.5, math.inf]
    assert [count / ttft.count for _, count in ttft.buckets] == pytest.approx([0.5, 0.9, 1.0, 1.0], rel=0.01)
    assert found["queue_time"].mean == pytest.approx(0.05, rel=0.01)
    assert found["queue_time"].buckets == ()


def test_shares_of_gpus_are_those_of_the_pod_that_the_exporter_names(fleet: Fleet) -> None:
    gauges = fleet.one("busy-0").gauges
    assert gauges["gpu_memory_busy"].mean == pytest.approx(0.7)  # 0.6 and 0.8
    assert gauges["gpu_tensor_busy"].mean == pytest.approx(0.35)
    assert "gpu_memory_busy" not in fleet.one("plain-0").gauges


def test_a_pod_under_two_addresses_counts_once_and_is_noted(fleet: Fleet) -> None:
    found = fleet.ask(("plain-0", "10.0.0.2"))
    assert isinstance(found, Readings)
    assert found.replicas[0].rates["requests"] == pytest.approx(2.0, rel=0.05)
    assert found.notes == (
        "scraped under several addresses, of which the first counts: plain-0 (10.0.0.2:8000, plain.serving.svc:8000)",
    )


def test_of_two_spellings_the_newer_counts_and_an_older_one_alone_does_too(fleet: Fleet) -> None:
    new, before = fleet.one("old-0"), fleet.one("older-0")
    assert (new.gauges["kv_usage"].peak, before.gauges["kv_usage"].peak) == (0.5, 0.9)
    assert new.histograms["itl"].mean == pytest.approx(0.02, rel=0.01)
    assert before.histograms["itl"].mean == pytest.approx(0.04, rel=0.01)
    assert before.kv_cache_tokens is None


@pytest.mark.parametrize("pod", ["renamed-0", "both-0"])
def test_names_whose_colon_a_collector_replaced_are_read_and_count_once(fleet: Fleet, pod: str) -> None:
    found, own = fleet.one(pod), fleet.one("plain-0", "10.0.0.2")
    assert (found.ranks, found.kv_cache_tokens, found.cache_labels) == (1, own.kv_cache_tokens, own.cache_labels)
    assert {key: gauge.mean for key, gauge in found.gauges.items()} == pytest.approx(
        {key: gauge.mean for key, gauge in own.gauges.items()}, rel=0.3
    )
    assert found.rates == pytest.approx(own.rates, rel=0.1)
    assert found.splits["requests"] == pytest.approx(own.splits["requests"], rel=0.1)
    assert found.histograms.keys() == own.histograms.keys()
    assert found.histograms["ttft"].count == pytest.approx(own.histograms["ttft"].count, rel=0.1)
    assert (found.age_seconds < 30, found.impossible) == (True, {})


def test_an_impossible_sample_among_many_is_seen(fleet: Fleet) -> None:
    found = fleet.one("faulty-0")
    assert found.gauges["running"].mean > 0
    assert {key: found.impossible[key] for key in ("running", "kv_usage")} == {"running": -4.0, "kv_usage": -0.25}
    assert found.impossible.keys() == {"running", "kv_usage", "prefill_tokens"}
    assert found.impossible["prefill_tokens"] < 0
    assert fleet.one("busy-0").impossible == {}


def test_a_queue_that_grows_is_told_by_how_much(fleet: Fleet) -> None:
    assert fleet.one("queueing-0").growth == pytest.approx(6.0, rel=0.05)  # in twelve seconds
    assert fleet.one("sglang-0", "10.0.0.9").growth is None  # it tells nothing of those that wait


def test_sglang_without_a_pods_label_is_found_by_its_address(fleet: Fleet) -> None:
    found = fleet.one("sglang-0", "10.0.0.9")
    assert found.ranks == 2
    assert found.gauges["running"].mean == 6.0  # of two schedulers, not of four workers
    assert found.gauges["kv_usage"].peak == pytest.approx(0.4)
    assert found.kv_cache_tokens == 10_000.0
    assert found.rates["prefix_hits"] == pytest.approx(40.0, rel=0.05)
    assert found.rates["prefix_queries"] == pytest.approx(100.0, rel=0.05)
    assert found.rates["requests"] == pytest.approx(1.5, rel=0.05)


def test_series_without_a_pods_label_at_another_address_are_nobodys(fleet: Fleet) -> None:
    found = fleet.ask(("nobody-0", "10.0.0.99"))
    told = f'no series of {RUNNING} has namespace="serving", pod=~"nobody-0"'
    assert found == Missing(Reason.METRICS_MISSING, told)


def test_a_host_name_that_is_no_address_is_taken_by_the_selector(fleet: Fleet) -> None:
    found = fleet.ask(("llama-0", "10.0.0.77"), app="by-service")
    assert isinstance(found, Readings)
    assert [replica.name for replica in found.replicas] == ["llama.serving.svc:8000"]


def test_a_counter_that_fell_goes_on(fleet: Fleet) -> None:
    found = fleet.one("restarted-0")
    assert found.restarts == 1
    assert found.rates["requests"] == pytest.approx(2.0, rel=0.25)  # the second around the start is lost
    assert found.uptime_seconds == pytest.approx(time.time() - 1_700_000_100, rel=0.01)


def test_a_pods_rates_are_over_the_time_in_which_it_was_there(fleet: Fleet) -> None:
    found = fleet.one("churn-7d9f5c8b6d-b2x9p")
    assert 6 <= found.seconds < WINDOW
    assert found.rates["requests"] == pytest.approx(2.0, rel=0.25)
    assert found.age_seconds < 30


def test_a_pod_that_is_gone_has_no_present_sample(fleet: Fleet) -> None:
    both = fleet.ask(app="churn")
    assert isinstance(both, Readings)
    assert [replica.age_seconds < math.inf for replica in both.replicas] == [False, True]
    assert both.notes == ()  # two templates of one Deployment


def test_a_pod_without_series_is_noted_beside_one_that_has_some(fleet: Fleet) -> None:
    found = fleet.ask(("plain-0", "10.0.0.2"), ("plain-1", "10.0.0.98"))
    assert isinstance(found, Readings)
    assert "1 of 2 pods have no series: plain-1" in found.notes


def test_two_models_in_one_pod_are_told_apart_by_the_served_name(fleet: Fleet) -> None:
    unknown = fleet.ask(("two-0", "10.0.0.8"))
    assert isinstance(unknown, Missing)
    assert unknown.code is Reason.METRICS_CONTRADICTORY
    assert "llama, mistral" in unknown.reason
    known = fleet.ask(("two-0", "10.0.0.8"), models=frozenset({"mistral"}))
    assert isinstance(known, Readings)
    assert known.replicas[0].rates["requests"] == pytest.approx(5.0, rel=0.05)
    assert 'model_name="mistral"' in known.sources["requests"]


def test_native_histograms_of_several_replicas_can_be_added(fleet: Fleet) -> None:
    found = fleet.ask(("native-0", "10.0.1.1"), ("native-1", "10.0.1.2"))
    assert isinstance(found, Readings)
    fast, late = (replica.histograms["ttft"] for replica in found.replicas)
    assert [bound for bound, _ in fast.buckets] == [bound for bound, _ in late.buckets]
    assert fast.count == pytest.approx(24.0, rel=0.05)
    assert fast.mean == pytest.approx(0.12, rel=0.01)
    classic = fleet.one("plain-0").histograms["ttft"]
    for share in (0.3, 0.5, 0.7, 0.95):
        native, expected = percentile_of(fast.buckets, share), percentile_of(classic.buckets, share)
        assert native is not None
        assert expected is not None
        assert native.value == pytest.approx(expected.value, rel=0.05)
    median = percentile_of(late.buckets, 0.25)
    assert median is not None
    assert 0.2 <= median.value <= 0.5


def test_another_namespaces_pod_of_the_same_name_does_not_count(fleet: Fleet) -> None:
    assert fleet.one("busy-0").ranks == 2  # the other one has one


def test_a_selector_that_matches_other_pods_only_names_them(fleet: Fleet) -> None:
    found = fleet.ask(("busy-0", "10.0.0.1"), app="plain")
    assert found == Missing(
        Reason.METRICS_MISSING,
        "spec.metrics.selector matches only pods that are not, or no longer, the workload's: plain-0",
    )


def test_a_selector_of_several_workloads_is_noted(fleet: Fleet) -> None:
    found = fleet.ask(model_name="llama")
    assert isinstance(found, Readings)
    assert any("several workloads: both, busy, churn and" in note for note in found.notes)


def test_what_a_person_pastes_gives_the_instances_own_series(fleet: Fleet) -> None:
    for found in (fleet.ask(("busy-0", "10.0.0.1")), fleet.ask(("sglang-0", "10.0.0.9")), fleet.ask(("native-0", ""))):
        assert isinstance(found, Readings)
        assert {"running", "kv_usage_peak", "requests"} <= found.sources.keys()
        for query in found.sources.values():
            assert result(fleet.url, query), query


def test_an_attack_by_a_label_is_a_label(fleet: Fleet) -> None:
    assert isinstance(fleet.ask(app=HOSTILE), Missing)
    matchers = own_matchers(KUBERNETES_LABELS, "serving", {"app": HOSTILE}, [HOSTILE])
    assert result(fleet.url, f"vllm:num_requests_running{{{matchers}}}") == []
    for query in fleet_queries(Scope(WINDOW, namespaces=frozenset({HOSTILE}), demanded=frozenset(ON_DEMAND))):
        found = (series["metric"]["inferplan_key"] for series in result(fleet.url, query))
        assert {key for key in found if not key.startswith("gpu:")} == set()  # GPUs have others' namespaces
