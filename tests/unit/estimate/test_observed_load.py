"""Which load a replica was seen under: measured with or without a queue, declared, or none and why."""

from dataclasses import replace

import pytest
from tests.support.build import an

from inferplan.api.instance import WorkloadSpec
from inferplan.api.reasons import Reason
from inferplan.api.values import Source
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.estimate.load import Load
from inferplan.estimate.observed_load import Seen, declared_load, load_seen

LENGTHS = {"prompt_tokens_mean": 1000.0, "generation_tokens_mean": 500.0}
DECLARED = WorkloadSpec(input_tokens=700, output_tokens=90, requests_per_second=6.0, prefix_share=0.25)


def seen(observation: Observation, *, queued: bool = False) -> Seen:
    found = load_seen(observation, queued=queued)
    assert isinstance(found, Seen), found
    return found


def refused(observation: Observation, *, queued: bool = False) -> Missing:
    found = load_seen(observation, queued=queued)
    assert isinstance(found, Missing), found
    return found


def test_with_a_queue_the_requests_in_flight_stay_as_many() -> None:
    found = seen(an.observation(load=LENGTHS), queued=True)
    assert found.load == Load(44.0, None, 1000.0, 500.0)
    assert found.source is Source.MEASURED_HERE
    assert found.basis == (
        "44.0 requests in flight (if more come only as fast as today, they wait less instead), 1000 tokens in, 500 out"
    )


def test_without_a_measured_queue_those_that_run_are_in_flight() -> None:
    found = seen(an.observation(load=LENGTHS | {"num_requests_waiting": None}), queued=True)
    assert found.load.concurrency == 32.0


def test_without_a_queue_requests_come_as_fast_as_they_were_seen_to() -> None:
    found = seen(an.serving({"kv_cache_usage_mean": None}))
    assert found.load == Load(None, 2.0, 500.0, 200.0, prefix_share=0.3)
    assert found.basis == "2 requests per second, as they were seen to come, 500 tokens in, 200 out"


def test_a_share_of_prompts_counts_where_prefixes_are_cached() -> None:
    uncached = an.serving({"kv_cache_usage_mean": None}, settings={"enable_prefix_caching": False})
    assert seen(uncached).load.prefix_share == 0.0
    assert seen(replace(uncached, declared=DECLARED)).load.prefix_share == 0.25


def test_a_share_that_was_not_measured_is_the_declared_one() -> None:
    found = seen(an.serving({"prefix_cache_hit_share": None}, declared=DECLARED))
    assert found.load.prefix_share == 0.25


@pytest.mark.parametrize(("share", "taken"), [(1.4, 1.0), (-0.1, 0.0)])
def test_a_share_is_one_between_nothing_and_all(share: float, taken: float) -> None:
    assert seen(an.serving({"prefix_cache_hit_share": share})).load.prefix_share == taken


@pytest.mark.parametrize(
    ("usage", "variation"),
    [
        (0.10, 0.0),  # 1,250 tokens each: prompt and half of an answer
        (0.11, 0.5**0.5),  # 1,375 tokens each, 375 of them answer: v^2 = 2 x 375 / 500 - 1
        (0.90, 2.0),  # more than lengths can explain
        (0.01, 0.0),  # less than the prompts
    ],
)
def test_what_a_request_holds_tells_how_answers_vary(usage: float, variation: float) -> None:
    load = LENGTHS | {"kv_cache_usage_mean": usage, "num_requests_running": 32.0, "kv_cache_tokens": 400_000.0}
    assert seen(an.observation(load=load), queued=True).load.output_variation == pytest.approx(variation, abs=1e-6)


@pytest.mark.parametrize(
    ("usage", "factor"),
    [
        (0.10, 1.0),  # 1,250 tokens each: what lengths say
        (0.90, 11_250 / 2250),  # of 1,000 + 500 x (1 + 2^2) / 2
        (0.05, 0.5),  # 625 of 1,250
        (0.0, 0.02),  # nothing can be
    ],
)
def test_what_lengths_cannot_explain_is_carried_over(usage: float, factor: float) -> None:
    load = LENGTHS | {"kv_cache_usage_mean": usage, "num_requests_running": 32.0, "kv_cache_tokens": 400_000.0}
    assert seen(an.observation(load=load), queued=True).load.held_factor == pytest.approx(factor)


@pytest.mark.parametrize("missing", ["kv_cache_usage_mean", "kv_cache_tokens"])
def test_lengths_are_alike_where_nothing_tells_what_is_held(missing: str) -> None:
    load = LENGTHS | {"kv_cache_usage_mean": 0.11, missing: None}
    assert seen(an.observation(load=load), queued=True).load.output_variation == 0.0


def test_what_less_than_one_request_holds_tells_nothing() -> None:
    load = LENGTHS | {"kv_cache_usage_mean": 0.5, "num_requests_running": 0.5, "num_requests_waiting": 0.0}
    assert seen(an.observation(load=load), queued=True).load.output_variation == 0.0


@pytest.mark.parametrize("name", ["prompt_tokens_mean", "generation_tokens_mean"])
def test_lengths_are_needed(name: str) -> None:
    found = refused(an.observation(load=LENGTHS | {name: None}))
    assert found == Missing(Reason.METRICS_MISSING, "the lengths of requests are needed: not measured")


def test_a_window_in_which_nothing_finished_has_no_lengths() -> None:
    found = refused(an.observation(load=LENGTHS | {"generation_tokens_mean": 0.0}))
    assert found == Missing(Reason.METRICS_MISSING, "no request of a token or more finished in the window")


@pytest.mark.parametrize("running", [None, 0.01])
def test_a_queue_needs_requests_that_run(running: float | None) -> None:
    found = refused(an.observation(load=LENGTHS | {"num_requests_running": running}), queued=True)
    assert found == Missing(Reason.METRICS_MISSING, "the number of running requests is needed, and was not measured")


@pytest.mark.parametrize("rate", [None, 0.0])
def test_without_a_queue_a_rate_is_needed(rate: float | None) -> None:
    found = refused(an.serving({"requests_per_second": rate}))
    assert found == Missing(Reason.METRICS_MISSING, "the rate of requests is needed, and was not measured")


def test_a_load_that_cannot_be_is_a_contradiction() -> None:
    found = refused(an.serving({"requests_per_second": 1e9}))
    assert found.code is Reason.METRICS_CONTRADICTORY
    assert found.reason.startswith("the measured load cannot be: requests_per_second")


def test_what_prompts_share_was_held_by_each_where_prefixes_are_not_cached() -> None:
    load = LENGTHS | {"kv_cache_usage_mean": 0.10, "num_requests_running": 32.0, "kv_cache_tokens": 400_000.0}
    shared = DECLARED.model_copy(update={"prefix_share": 0.8})
    off = an.observation(load=load, declared=shared, settings={"enable_prefix_caching": False})
    found = seen(off, queued=True)
    assert (found.load.held_factor, found.load.output_variation, found.load.prefix_share) == (1.0, 0.0, 0.8)
    on = an.observation(load=load, declared=shared, settings={"enable_prefix_caching": True})
    assert seen(on, queued=True).load.output_variation > 1.0  # 450 tokens of prompt and answer are too few for 1,250


def test_a_declared_share_is_told_and_unsure() -> None:
    found = seen(an.serving({"prefix_cache_hit_share": None}, declared=DECLARED))
    assert found.share_declared
    assert found.basis.endswith("200 out, 25% of the prompts repeated as spec.workload declares")
    assert not seen(an.serving(declared=DECLARED)).share_declared


@pytest.mark.parametrize("queued", [True, False])
def test_what_was_counted_wins_where_only_lengths_are_declared(queued: bool) -> None:
    found = seen(an.observation(load={"requests_per_second": 1.5}, declared=DECLARED), queued=queued)
    counted = (44.0, None) if queued else (None, 1.5)
    assert (found.load.concurrency, found.load.requests_per_second) == counted
    assert (found.load.input_tokens, found.load.output_tokens, found.load.prefix_share) == (700.0, 90.0, 0.25)
    assert found.source is Source.ROOFLINE
    assert found.basis.endswith("700 tokens in, 90 out, lengths declared in spec.workload")


def test_declared_traffic_stands_in_for_all_replicas_together() -> None:
    found = seen(an.observation(declared=DECLARED, replicas=3))
    assert found == Seen(
        Load(None, 2.0, 700.0, 90.0, 0.25),
        Source.RULE_OF_THUMB,
        "2 requests per second, 700 tokens in, 90 out, 25% of the prompts repeated, declared in spec.workload",
        share_declared=True,
    )


def test_declared_requests_in_flight_come_before_a_rate() -> None:
    both = WorkloadSpec(input_tokens=700, output_tokens=90, requests_per_second=6.0, concurrency=8)
    found = seen(an.observation(declared=both))
    assert found.load == Load(8.0, None, 700.0, 90.0)
    assert found.basis == "8 requests in flight, 700 tokens in, 90 out, declared in spec.workload"
    assert not found.share_declared


@pytest.mark.parametrize("lacking", ["input_tokens", "output_tokens", "requests_per_second"])
def test_half_a_declaration_is_none(lacking: str) -> None:
    half = an.observation(declared=DECLARED.model_copy(update={lacking: None}))
    assert refused(half).code is Reason.METRICS_MISSING
    names = {"input_tokens": "inputTokens", "output_tokens": "outputTokens"}
    told = f"spec.workload lacks {names.get(lacking, 'concurrency or requestsPerSecond')}"
    assert declared_load(half) == Missing(Reason.LOAD_UNKNOWN, told)


def test_a_rate_too_small_to_be_shared_is_none() -> None:
    tiny = DECLARED.model_copy(update={"requests_per_second": 5e-324})
    found = declared_load(an.observation(declared=tiny, replicas=2))
    assert isinstance(found, Missing)
    assert found.reason.startswith("spec.workload: requests_per_second must be")
