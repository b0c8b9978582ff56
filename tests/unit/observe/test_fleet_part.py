"""One instance's part of a fleet: which series are its own, and what is made of them."""

import math

import pytest
from tests.support.fleet import NOW, ask, readings, series, server, table

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.readings import Gauge
from inferplan.observe.fleet_replica import aligned
from inferplan.observe.fleet_table import host_of
from inferplan.observe.metric_names import spellings
from inferplan.observe.prometheus_types import NativeBucket, NativeHistogram

BARE = {"pod": None, "address": "10.0.0.1"}


def test_a_pods_series_are_found_by_its_name_at_any_address() -> None:
    found = readings(table(*server("llama-0", instance="node-7:30000"), *server("other-0")), "llama-0")
    assert [replica.name for replica in found.replicas] == ["llama-0"]
    assert found.replicas[0].gauges == {"running": Gauge(4.0, 4.0)}


def test_a_namespace_is_never_left() -> None:
    found = ask(table(*server("llama-0", namespace="other")), "llama-0")
    told = 'no series of vllm:num_requests_running has namespace="serving", pod=~"llama-0"'
    assert found == Missing(Reason.METRICS_MISSING, told)


@pytest.mark.parametrize(
    ("instance", "known"),
    [("10.0.0.1:8000", True), ("10.0.0.1", True), ("10.0.0.11:8000", False), ("10.0.0.2:8000", False)],
)
def test_without_a_pods_label_the_address_tells(instance: str, known: bool) -> None:
    found = ask(table(*server(None, instance=instance)), "llama-0")
    assert isinstance(found, Missing) is not known


def test_an_address_of_two_pods_tells_nothing() -> None:
    assert isinstance(ask(table(*server(None)), "llama-0", "llama-1"), Missing)


@pytest.mark.parametrize(
    ("instance", "host"),
    [
        ("10.0.0.1:8000", "10.0.0.1"),
        ("[fd00::1]:8000", "fd00::1"),
        ("fd00::1", "fd00::1"),
        ("engine.serving.svc:8000", "engine.serving.svc"),
        ("engine", "engine"),
        ("a:b", "a:b"),
        ("", ""),
    ],
)
def test_the_host_of_an_instance(instance: str, host: str) -> None:
    assert host_of(instance) == host


def test_a_host_name_needs_a_selector_and_no_own_pod_beside_it() -> None:
    by_service = server(None, instance="llama.serving.svc:8000", app="a")
    answers = table(*by_service, extra=("app",))
    assert isinstance(ask(answers, "llama-0"), Missing)
    assert [replica.name for replica in readings(answers, "llama-0", app="a").replicas] == ["llama.serving.svc:8000"]
    with_own = table(*by_service, *server("llama-0", app="a"), extra=("app",))
    assert [replica.name for replica in readings(with_own, "llama-0", app="a").replicas] == ["llama-0"]


def test_an_address_that_is_no_pods_is_foreign_to_the_selector_too() -> None:
    answers = table(*server(None, instance="10.0.0.9:8000", app="a"), extra=("app",))
    found = ask(answers, "llama-0", app="a")
    assert isinstance(found, Missing)
    assert found.reason.endswith("matches only pods that are not, or no longer, the workload's: 10.0.0.9:8000")


def test_foreign_pods_are_named_three_of_them() -> None:
    answers = table(*(entry for at in range(5) for entry in server(f"other-{at}", app="a")), extra=("app",))
    found = ask(answers, "llama-0", app="a")
    assert isinstance(found, Missing)
    assert found.reason.endswith("no longer, the workload's: other-0, other-1, other-2 and 2 more")


@pytest.mark.parametrize(
    ("selector", "told"),
    [({"le": "1"}, '"le" cannot be used'), ({"job": "x"}, '"job" is one too many'), ({}, "neither a workload nor")],
)
def test_a_selector_that_cannot_be_used_says_why(selector: dict[str, str], told: str) -> None:
    found = ask(table(*server()), **selector)
    assert isinstance(found, Missing)
    assert told in found.reason


def test_schedulers_add_up_and_shares_are_the_highest() -> None:
    tags = {"mean:kv_usage:0": (0.2, 0.6), "peak:kv_usage:0": (0.3, 0.9), "p99:kv_usage:0": (0.3, 0.8)}
    ranks = [series(tag, value, engine=str(at)) for tag, values in tags.items() for at, value in enumerate(values)]
    (found,) = readings(table(*server(engine="0"), *server(engine="1", running=2.0), *ranks), "llama-0").replicas
    assert found.ranks == 2
    (one,) = readings(table(*server(engine="")), "llama-0").replicas
    assert one.ranks is None  # no label tells schedulers apart
    assert found.gauges["running"] == Gauge(6.0, 6.0)
    assert found.gauges["kv_usage"] == Gauge(0.6, 0.9, 0.8)


def test_a_number_that_is_none_stays_none() -> None:
    nan = (series("mean:kv_usage:0", math.nan, engine="0"), series("mean:kv_usage:0", 0.5, engine="1"))
    (found,) = readings(table(*server(), *nan), "llama-0").replicas
    assert math.isnan(found.gauges["kv_usage"].mean)


def test_the_newer_of_two_spellings_counts() -> None:
    both = (series("mean:kv_usage:1", 0.9, engine="0"), series("mean:kv_usage:0", 0.5, engine="0"))
    found = readings(table(*server(), *both), "llama-0")
    assert found.replicas[0].gauges["kv_usage"].mean == 0.5
    assert "vllm:kv_cache_usage_perc{" in found.sources["kv_usage"]
    alone = readings(table(*server(), both[0]), "llama-0")
    assert alone.replicas[0].gauges["kv_usage"].mean == 0.9
    assert "vllm:gpu_cache_usage_perc{" in alone.sources["kv_usage"]


def test_names_whose_colon_a_collector_replaced_are_read_and_count_once_beside_the_engines_own() -> None:
    at = spellings("running").index("vllm_num_requests_running")
    rate = spellings("prefill_tokens").index("vllm_prompt_tokens_total")
    own = {"engine": "0", "model_name": "llama"}
    tags = {"mean": 4.0, "peak": 4.0, "age": 5.0, "first": 900.0}
    renamed = [series(f"{kind}:running:{at}", number, **own) for kind, number in tags.items()]
    renamed.append(series(f"rate:prefill_tokens:{rate}", 100.0, model_name="llama"))
    renamed.append(series("info:cache_info:1", 1.0, engine="", block_size="16", num_gpu_blocks="100"))
    alone = readings(table(*renamed), "llama-0")
    assert alone.replicas[0].gauges["running"] == Gauge(4.0, 4.0)
    assert alone.replicas[0].rates == {"prefill_tokens": 100.0}
    assert alone.replicas[0].age_seconds == 5.0
    assert alone.replicas[0].kv_cache_tokens == 1600.0
    assert "vllm_num_requests_running{" in alone.sources["running"]
    cache = series("info:cache_info:0", 1.0, engine="0", block_size="16", num_gpu_blocks="100")
    both = readings(table(*renamed, *server(), series("rate:prefill_tokens:0", 100.0), cache), "llama-0")
    assert both.replicas == alone.replicas
    assert "vllm:num_requests_running{" in both.sources["running"]


@pytest.mark.parametrize(
    ("tag", "sample", "key"),
    [
        ("low:running:0", -1.0, "running"),
        ("low:waiting_by_reason:0", -1.0, "waiting_by_reason"),
        ("low:requests:0", -3.0, "requests"),
        ("peak:kv_usage:0", 1.5, "kv_usage"),
        ("now:kv_tokens:0", -5.0, "kv_tokens"),
    ],
)
def test_an_impossible_sample_of_any_scheduler_is_told(tag: str, sample: float, key: str) -> None:
    good = {
        "mean:waiting_by_reason:0": 2.0,
        "rate:requests:0": 4.0,
        "mean:kv_usage:0": 0.5,
        "peak:kv_usage:0": 0.5,
        "now:kv_tokens:0": 100.0,
        "resets:requests:0": 1.0,
    }
    told = [series(name, number, engine="0", model_name="llama") for name, number in good.items()]
    (found,) = readings(table(*server(), *told), "llama-0").replicas
    assert (found.impossible, found.restarts) == ({}, 1)
    (found,) = readings(table(*server(), *told, series(tag, sample, engine="1")), "llama-0").replicas
    assert found.impossible == {key: sample}
    assert found.restarts == (0 if key == "requests" else 1)  # a counter that is below 0 has not started anew


def test_an_impossible_sample_under_a_name_that_is_not_read_does_not_matter() -> None:
    odd = (series("mean:kv_usage:0", 0.5), series("low:kv_usage:1", -1.0), series("peak:kv_usage:1", 7.0))
    (found,) = readings(table(*server(), *odd), "llama-0").replicas
    assert found.impossible == {}


def test_growth_is_that_of_all_schedulers_and_of_running_and_waiting_ones() -> None:
    grown = [series("delta:running:0", value, engine=str(at)) for at, value in enumerate((3.0, -1.0))]
    waiting = series("delta:waiting:0", 10.0, engine="0")
    (found,) = readings(table(*server(), *grown, waiting), "llama-0").replicas
    assert found.growth == 12.0
    (half,) = readings(table(*server(), *grown), "llama-0").replicas
    assert half.growth is None


def test_rates_are_over_the_time_in_which_the_pod_was_there() -> None:
    rate = series("rate:preemptions:0", 1.0, model_name="llama")
    young = [entry for entry in server() if not entry.labels["inferplan_key"].startswith("first")]
    young.append(series("first:running:0", 300.0, engine="0", model_name="llama"))
    (found,) = readings(table(*young, rate), "llama-0").replicas
    assert (found.seconds, found.rates["preemptions"]) == (300.0, 3.0)  # 900 events in 300 s
    (whole,) = readings(table(*server(), rate), "llama-0").replicas
    assert (whole.seconds, whole.rates["preemptions"]) == (900.0, 1.0)


def test_parts_of_a_counter_are_told_and_added() -> None:
    parts = (
        series("rate:requests:0", 3.0, finished_reason="stop"),
        series("rate:requests:0", 1.0, finished_reason="abort"),
    )
    (found,) = readings(table(*server(), *parts), "llama-0").replicas
    assert found.splits["requests"] == {"abort": 1.0, "stop": 3.0}
    assert found.rates["requests"] == 4.0


def test_a_histogram_is_what_was_observed_in_the_window() -> None:
    entries = [series("sum:ttft:0", 0.5), series("count:ttft:0", 2.0)]
    entries += [series("bucket:ttft:0", count, le=le) for le, count in (("+Inf", 2.0), ("0.5", 1.5), ("0.1", 0.0))]
    (found,) = readings(table(*server(), *entries), "llama-0").replicas
    assert found.histograms["ttft"].count == 1800.0
    assert found.histograms["ttft"].total == 450.0
    assert found.histograms["ttft"].buckets == ((0.1, 0.0), (0.5, 1350.0), (math.inf, 1800.0))


def test_bounds_in_two_spellings_are_one() -> None:
    entries = [series("count:ttft:0", 2.0), series("sum:ttft:0", 2.0)]
    entries += [series("bucket:ttft:0", 1.0, le=le) for le in ("1", "1.0", "+Inf")]
    (found,) = readings(table(*server(), *entries), "llama-0").replicas
    assert found.histograms["ttft"].buckets == ((1.0, 1800.0), (math.inf, 900.0))


def test_native_histograms_are_brought_to_the_same_bounds() -> None:
    fast = NativeHistogram(2.0, 0.3, (NativeBucket(0.1, 0.2, 2.0),))
    slow = NativeHistogram(1.0, 0.35, (NativeBucket(0.2, 0.4, 0.5), NativeBucket(0.4, 0.8, 0.5)))
    answers = table(
        *server("llama-0"),
        *server("llama-1", instance="10.0.0.2:8000"),
        series("native:ttft:0", fast, "llama-0"),
        series("native:ttft:0", slow, "llama-1", instance="10.0.0.2:8000"),
    )
    found = readings(answers, "llama-0", "llama-1")
    one, other = (replica.histograms["ttft"].buckets for replica in found.replicas)
    assert one == ((0.1, 0.0), (0.2, 1800.0), (0.4, 1800.0), (0.8, 1800.0), (math.inf, 1800.0))
    assert other == ((0.1, 0.0), (0.2, 0.0), (0.4, 450.0), (0.8, 900.0), (math.inf, 900.0))
    assert found.replicas[0].histograms["ttft"].total == pytest.approx(270.0)
    assert "avg by (pod, instance, engine, dp_rank) (rate(vllm:time_to_first_token_seconds{" in found.sources["ttft"]


def test_inside_of_a_bucket_observations_are_spread() -> None:
    wide, narrow = ((1.0, 0.0), (3.0, 10.0), (math.inf, 10.0)), ((2.0, 4.0), (math.inf, 4.0))
    assert aligned([wide, narrow]) == [
        ((1.0, 0.0), (2.0, 5.0), (3.0, 10.0), (math.inf, 10.0)),
        ((1.0, 2.0), (2.0, 4.0), (3.0, 4.0), (math.inf, 4.0)),
    ]


def test_a_target_that_is_gone_does_not_count_beside_one_that_is_there() -> None:
    gone = [entry for entry in server(running=50.0) if not entry.labels["inferplan_key"].startswith("age")]
    found = readings(table(*gone, *server(instance="10.0.0.2:8000")), "llama-0")
    assert found.replicas[0].gauges["running"].mean == 4.0
    assert found.notes == ()
    (alone,) = readings(table(*gone), "llama-0").replicas
    assert alone.age_seconds == math.inf


def test_ages_are_those_of_the_moment() -> None:
    (found,) = readings(table(*server(age=20.0)), "llama-0", late_seconds=30.0).replicas
    assert found.age_seconds == 50.0


def test_start_and_restarts_come_from_the_process_of_the_same_target() -> None:
    started = (
        series("now:process_start:0", NOW - 600.0),
        series("changes:process_start:0", 2.0),
        series("now:process_start:0", NOW - 7.0, instance="10.0.0.1:15020"),  # a sidecar's
    )
    (found,) = readings(table(*server(), *started), "llama-0").replicas
    assert (found.uptime_seconds, found.restarts) == (600.0, 2)


def test_without_a_start_time_counters_that_fell_tell_of_restarts() -> None:
    fell = (series("resets:requests:0", 1.0, engine="0"),)
    (found,) = readings(table(*server(), *fell), "llama-0").replicas
    assert (found.uptime_seconds, found.restarts) == (None, 1)


@pytest.mark.parametrize("start", [NOW + 60.0, -3.0, 0.0, math.nan, math.inf])
def test_an_impossible_start_is_no_uptime(start: float) -> None:
    (found,) = readings(table(*server(), series("now:process_start:0", start)), "llama-0").replicas
    assert found.uptime_seconds is None


def test_what_waits_swapped_out_and_a_share_that_is_off_are_read() -> None:
    index = spellings("swapped").index("vllm:num_requests_swapped")
    tags = {"mean:waiting:0": 2.0, "delta:running:0": 1.0, "delta:waiting:0": 2.0}
    tags |= {f"{kind}:swapped:{index}": 40.0 for kind in ("mean", "peak", "delta")}
    for hits, told in ((0.3, {"prefix_hit_share"}), (-1.0, set())):
        every = {**tags, "mean:prefix_hit_share:0": hits}
        (found,) = readings(table(*server(), *(series(tag, value) for tag, value in every.items())), "llama-0").replicas
        assert found.gauges["swapped"] == Gauge(40, 40)
        assert found.growth == 43
        assert {"prefix_hit_share"} & found.gauges.keys() == told
        assert found.impossible == {}


def test_models_in_one_pod_need_a_name() -> None:
    answers = table(*server(), *server(model_name="mistral", instance="10.0.0.1:8001", running=9.0))
    unknown = ask(answers, "llama-0", models=frozenset({"other"}))
    assert isinstance(unknown, Missing)
    assert unknown.code is Reason.METRICS_CONTRADICTORY
    assert unknown.reason.startswith("one pod's series are of several models: llama, mistral")
    found = readings(answers, "llama-0", models=frozenset({"mistral"}))
    assert found.replicas[0].gauges["running"].mean == 9.0
    assert 'model_name="mistral"' in found.sources["running"]


def test_a_selectors_models_have_to_be_one() -> None:
    answers = table(*server("a-0", app="x"), *server("b-0", app="x", model_name="mistral"), extra=("app",))
    unknown = ask(answers, app="x")
    assert isinstance(unknown, Missing)
    assert unknown.code is Reason.METRICS_CONTRADICTORY
    found = readings(answers, app="x", models=frozenset({"llama"}))
    assert [replica.name for replica in found.replicas] == ["a-0"]


def test_a_single_model_of_another_name_is_the_instances() -> None:
    assert readings(table(*server()), "llama-0", models=frozenset({"/models/llama"})).replicas


def test_a_selector_of_several_workloads_is_noted() -> None:
    pods = ("llama-7d9f5c8b6d-b2x9p", "llama-7d9f5c8b6d-c2x9p", "qwen-0")
    answers = table(*(entry for pod in pods for entry in server(pod, app="x")), extra=("app",))
    assert readings(answers, app="x").notes == ("spec.metrics.selector matches pods of several workloads: llama, qwen",)
    one = table(*(entry for pod in pods[:2] for entry in server(pod, app="x")), extra=("app",))
    assert readings(one, app="x").notes == ()


def test_pods_without_series_are_noted() -> None:
    assert readings(table(*server()), "llama-0", "llama-1").notes == ("1 of 2 pods have no series: llama-1",)


def test_a_gpus_pod_is_the_exported_one_where_there_is_one() -> None:
    own = {"exported_namespace": "serving", "exported_pod": "llama-0", "namespace": "gpu", "pod": "dcgm-x"}
    exported = readings(table(*server(), series("gpu:gpu_memory_busy:0", 0.7, **own)), "llama-0")
    assert exported.replicas[0].gauges["gpu_memory_busy"].mean == 0.7
    assert 'exported_pod=~"llama-0"' in exported.sources["gpu_memory_busy"]
    honored = readings(table(*server(), series("gpu:gpu_tensor_busy:0", 0.2)), "llama-0")
    assert honored.replicas[0].gauges["gpu_tensor_busy"].mean == 0.2
    assert '{pod=~"llama-0"}' in honored.sources["gpu_tensor_busy"]
    foreign = readings(
        table(*server(), series("gpu:gpu_memory_busy:0", 0.7, **(own | {"exported_pod": "a"}))), "llama-0"
    )
    assert "gpu_memory_busy" not in foreign.replicas[0].gauges


def test_a_series_that_is_none_of_ours_changes_nothing() -> None:
    odd = (series("", 1.0), series("mean", 1.0), series("bucket:ttft:0", 1.0, le="x"), series("gpu:other:0", 1.0))
    (found,) = readings(table(*server(), *odd), "llama-0").replicas
    assert found.gauges == {"running": Gauge(4.0, 4.0)}
    assert found.histograms == {}


def test_the_cache_of_all_schedulers_is_theirs_together() -> None:
    caches = [series("info:cache_info:0", 1.0, engine=str(at), block_size="16", num_gpu_blocks="100") for at in (0, 1)]
    (found,) = readings(table(*server(), *caches), "llama-0").replicas
    assert found.kv_cache_tokens == 3200.0
    assert found.cache_labels == {"block_size": "16", "num_gpu_blocks": "100"}
    half = series("info:cache_info:0", 1.0, engine="1", block_size="16", num_gpu_blocks="None")
    (unknown,) = readings(table(*server(), caches[0], half), "llama-0").replicas
    assert unknown.kv_cache_tokens is None


def test_every_query_of_an_instance_names_its_own_targets() -> None:
    by_pod = readings(table(*server()), "llama-0")
    assert by_pod.sources["running_peak"] == (
        "max by (pod, instance, engine, dp_rank) "
        '(max_over_time(vllm:num_requests_running{namespace="serving", pod=~"llama-0"}[900s]))'
    )
    by_address = readings(table(*server(None)), "llama-0")
    assert '{namespace="serving", instance=~"10\\\\.0\\\\.0\\\\.1:8000"}' in by_address.sources["running"]
    by_selector = readings(table(*server(app='a"b'), extra=("app",)), app='a"b')
    assert '{namespace="serving", app="a\\"b"}' in by_selector.sources["running"]
