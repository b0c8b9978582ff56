"""What a person could do beside the plan."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import LLAMA, a, an, measured

from inferplan.api.instance import SLOMetric
from inferplan.api.plan import Alternative
from inferplan.api.values import Engine
from inferplan.diagnose.bottlenecks import Cause, diagnose
from inferplan.dialects.effective import effective
from inferplan.domain.architecture import Attention, Layer, MixtureOfExperts
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.owner import OwnedField, Owner
from inferplan.domain.proposal import Policy
from inferplan.optimizers.advice import ADVICE_MAX, advice
from inferplan.optimizers.batching_look import Look

H100 = from_catalogue("NVIDIA-H100-80GB-HBM3", 1)
L40S = from_catalogue("NVIDIA-L40S", 1)
ITL = Policy(slo=(an.slo(SLOMetric.ITL, 95, 100),))
OVERLOAD = {"kv_cache_usage": 1.0}  # at the cap of 32 as well
REPLICAS, GPUS, EXPERTS = "More replicas", "Twice the GPUs per replica", "Whole experts on each rank"
QUEUE, LONG, OFF = "A limit on waiting requests", "Smaller chunks of long prompts", "Switches against the release"


def look(observation: Observation, policy: Policy | None = None) -> Look:
    return Look(observation, diagnose(observation), policy or Policy())


def found(seen: Look, title: str) -> Alternative | None:
    return next((entry for entry in advice(seen) if entry.title.startswith(title)), None)


def said(seen: Look, title: str) -> str:
    entry = found(seen, title)
    assert entry is not None, advice(seen)
    return entry.description


def slow(load: dict[str, float | None] | None = None, **changes: Any) -> Look:
    """Serving with ease, but for 120 ms between tokens at the 95th percentile."""
    itl = (("itl p95", measured("itl_p95_milliseconds", 120.0)),)
    metrics = replace(an.serving(load).metrics, slo_milliseconds=itl)
    return look(an.serving(**{**changes, "metrics": metrics}), ITL)


def test_where_nothing_is_wrong_nothing_is_advised() -> None:
    assert advice(look(an.serving())) == ()
    assert advice(look(an.observation())) == ()


def test_overload_needs_replicas() -> None:
    seen = look(an.observation(load=OVERLOAD))
    assert seen.diagnosis.cause is Cause.OVERLOAD
    text = said(seen, REPLICAS)
    assert "32 requests run, of 32 that may, while 12 wait." in text
    assert text.endswith(
        "How many is not known: the rate at which requests come was not measured, only that at which they finish."
    )


@pytest.mark.parametrize(
    ("refused", "come", "replicas", "told"),
    [
        (1.0, None, 3, "2 requests per second, and 3 come, with those that it refuses: 3 x 3 / 2 makes 5 replicas."),
        (0.0, 4.5, 3, "2 requests per second, and 4.5 come: 3 x 4.5 / 2 makes 7 replicas."),
        (0.0, None, 3, "How many is not known"),
        (0.0, 1.9, 3, "How many is not known"),
        (1.0, None, None, "How many is not known"),
    ],
)
def test_how_many_follows_from_what_comes_and_what_finishes(
    refused: float, come: float | None, replicas: int | None, told: str
) -> None:
    rates = {
        "requests_per_second": 2.0,
        "rejected_requests_per_second": refused,
        **({} if come is None else {"arrivals_per_second": come}),
    }
    seen = look(an.observation(load={**OVERLOAD, **rates}, replicas=replicas))
    assert told in said(seen, REPLICAS)


@pytest.mark.parametrize(("come", "advised"), [(4.0, True), (2.2, False), (None, False)])
def test_prompts_that_outgrow_the_steps_need_replicas_too(come: float | None, advised: bool) -> None:
    rates = {"requests_per_second": 2.0, "arrivals_per_second": come, "tokens_per_step": 8100.0}
    seen = look(an.observation(load=rates, settings={"max_batch_size": 64}, replicas=2))
    assert seen.diagnosis.cause is Cause.PREFILL_BOUND
    told = [entry.description for entry in advice(seen) if entry.title == "More replicas"]
    assert bool(told) is advised
    if told:
        assert told[0].startswith("More prompts come than are computed, and the queue grows. Steps are full of prompts")
        assert told[0].endswith("2 x 4 / 2 makes 4 replicas.")


def test_an_autoscaler_is_told_where_the_number_is_its_own() -> None:
    keda = Owner("KEDA", OwnedField.REPLICAS, reconciles=True, basis="managedFields: scale, keda")
    helm = Owner("Helm", OwnedField.ALL, reconciles=False, basis="meta.helm.sh/release-name: llama")
    text = said(look(an.observation(load=OVERLOAD, owners=(helm, keda))), REPLICAS)
    assert text.endswith(
        " KEDA sets the replicas (managedFields: scale, keda): raise its maximum, or change what it scales by; what is"
        " written into spec.replicas is taken back."
    )
    assert "spec.replicas" not in said(look(an.observation(load=OVERLOAD, owners=(helm,))), REPLICAS)


@pytest.mark.parametrize(
    ("config", "flag"),
    [
        (None, "--max-num-queued-reqs"),
        (a.config(Engine.SGLANG, "0.5.23", max_batch_size=32, max_model_len=8192), "--max-queued-requests"),
        (effective(a.config(version="0.28.0", max_batch_size=32, max_model_len=8192), H100), None),
        (effective(a.config(max_batch_size=32, max_model_len=8192, max_num_queued_reqs=10), H100), None),
    ],
)
def test_overload_may_be_refused_early(config: Any, flag: str | None) -> None:
    entry = found(look(an.observation(load=OVERLOAD, config=config)), QUEUE)
    assert (entry.title if entry is not None else None) == (f"{QUEUE} ({flag})" if flag else None)
    if entry is not None:
        assert entry.description.startswith("12 requests wait, and the queue has no limit.")


def test_weights_that_leave_the_cache_too_little_want_more_gpus() -> None:
    crowded = {"kv_cache_usage": 1.0, "num_requests_running": 9.0, "kv_cache_tokens": None}
    large = a.model(num_layers=120)
    seen = look(an.observation(load=crowded, model=large, accelerator=H100))
    assert seen.diagnosis.cause is Cause.KV_BOUND
    text = said(seen, f"{GPUS} (--tensor-parallel-size 2)")
    assert text.startswith("Requests wait for KV cache memory, and the weights take 7")
    assert text.endswith("Needs a node with 2 free GPUs of this kind.")


@pytest.mark.parametrize(
    "changes",
    [
        {"model": LLAMA},  # a fifth of the GPU
        {
            "model": a.model(num_layers=120),
            "accelerator": an.serving().accelerator,
            "drop": ("gpu_memory_utilization",),
        },
        {"model": NO_MODEL_CONFIG},
        {"model": a.model(num_layers=120), "drop": ("tensor_parallel_size",)},
    ],
)
def test_but_not_where_that_is_not_known_or_not_so(changes: dict[str, Any]) -> None:
    crowded = {"kv_cache_usage": 1.0, "num_requests_running": 9.0, "kv_cache_tokens": None}
    assert found(look(an.observation(load=crowded, **{"accelerator": H100, **changes})), GPUS) is None


def test_heads_that_cannot_be_split_leave_stages_of_layers() -> None:
    crowded = {"kv_cache_usage": 1.0, "num_requests_running": 9.0, "kv_cache_tokens": None}
    odd = a.model(num_layers=120, heads=33)
    text = said(look(an.observation(load=crowded, model=odd, accelerator=H100)), f"{GPUS} (--pipeline-parallel-size 2)")
    assert "Its 33 heads cannot be split over 2 GPUs" in text
    assert found(slow({"num_requests_running": 4.0}, model=a.model(heads=33)), GPUS) is None  # no step gets shorter


def test_a_defect_that_a_later_release_mends_wants_that_release() -> None:
    config = effective(a.config(version="0.20.0", max_batch_size=32), H100, model=LLAMA)
    text = said(look(an.serving(config=config)), "A newer release (vllm 0.26.0 or later)")
    assert text.startswith("Try an upgrade to vllm 0.26.0 or later, which fixes a leak of host memory")
    assert text.endswith("plan again after it.")


def test_a_small_batch_that_misses_a_target_between_tokens_wants_more_gpus() -> None:
    text = said(slow({"num_requests_running": 4.0}, accelerator=L40S), GPUS)
    assert text.startswith("itl p95 is 120 ms, target 100 ms, with 4 requests running at once")
    assert "Without NVLink between them" in text
    assert "NVLink" not in said(slow({"num_requests_running": 4.0}, accelerator=H100), GPUS)
    assert found(slow({"num_requests_running": 9.0}), GPUS) is None
    assert found(look(an.serving({"num_requests_running": 4.0})), GPUS) is None


EXPERT = Layer(Attention(32, 8, 128, 128), MixtureOfExperts(experts=64, top_k=4, intermediate_size=1024))
MIXTURE = replace(LLAMA, layers=(EXPERT,) * 32)
RANKS = {"data_parallel_size": 4, "max_batch_size": 8}


def test_experts_that_are_cut_over_ranks_could_stay_whole() -> None:
    seen = look(an.observation(model=MIXTURE, settings=RANKS))
    assert "every expert is cut over the 4 data-parallel ranks" in said(seen, f"{EXPERTS} (--enable-expert-parallel)")


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {**RANKS, "enable_expert_parallel": True}},
        {"settings": {**RANKS, "data_parallel_size": 1, "max_batch_size": 32}},
        {"settings": RANKS, "model": LLAMA},
        {"settings": RANKS, "model": NO_MODEL_CONFIG},
        {"settings": RANKS, "load": {"num_requests_waiting": 0.0}},
        {"config": a.config(version=None, enable_expert_parallel=False, **RANKS)},
        {"config": a.config(Engine.SGLANG, "0.5.23", enable_expert_parallel=False, **RANKS)},
    ],
)
def test_but_not_these(changes: dict[str, Any]) -> None:
    assert found(look(an.observation(**{"model": MIXTURE, **changes})), EXPERTS) is None


def test_long_prompts_among_short_ones_could_be_cut_smaller() -> None:
    text = said(slow(), f"{LONG} (--long-prefill-token-threshold)")
    assert "Prompts have 500 tokens on average and 3000 at the 99th percentile" in text


@pytest.mark.parametrize(
    ("load", "changes"),
    [
        ({"prompt_tokens_p99": 1900.0}, {}),
        ({"prompt_tokens_p99": None}, {}),
        ({"prompt_tokens_mean": None}, {}),
        ({}, {"settings": {"long_prefill_token_threshold": 1000}}),
        ({}, {"settings": {"enable_chunked_prefill": False}}),
        ({}, {"config": a.config(Engine.SGLANG, "0.5.23", max_batch_size=32, max_model_len=8192)}),
    ],
)
def test_but_not_where_they_are_alike_or_nothing_cuts_them(load: dict[str, Any], changes: dict[str, Any]) -> None:
    assert found(slow(load, **changes), LONG) is None


def test_what_the_release_does_by_itself_is_pointed_at() -> None:
    seen = look(an.serving(settings={"async_scheduling": False}))
    text = said(seen, OFF)
    assert "The next step is not scheduled while one runs (--async-scheduling)" in text
    assert text.endswith("it may work around a fault.")
    config = a.config(Engine.SGLANG, "0.5.23", async_scheduling=False, enable_chunked_prefill=False)
    both = said(look(an.serving(config=config)), OFF)
    assert "(--disable-overlap-schedule)" in both
    assert "Prompts are not cut into chunks (--chunked-prefill-size)" in both


def test_what_the_release_cannot_do_here_is_no_switch() -> None:
    ngram = {"async_scheduling": False, "speculative_config": '{"method": "ngram", "num_speculative_tokens": 3}'}
    config = effective(a.config(version="0.32.0", max_batch_size=32, max_model_len=8192, **ngram), H100)
    assert found(look(an.serving(config=config, accelerator=H100)), OFF) is None


def test_there_are_three_at_most() -> None:
    settings = {**RANKS, "async_scheduling": False}
    seen = look(an.observation(load=OVERLOAD, model=MIXTURE, settings=settings))
    assert [entry.title.split(" (")[0] for entry in advice(seen)] == [REPLICAS, QUEUE, EXPERTS]
    assert ADVICE_MAX == 3
