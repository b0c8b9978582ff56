"""What makes two observations, or two decisions, the same."""

from dataclasses import replace

from tests.support.build import an

from inferplan.api.instance import WorkloadSpec
from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import ReplicaMetrics
from inferplan.domain.proposal import Policy
from inferplan.engine.identity import args_digest, deployment_digest, observation_digest, plan_hash, plan_name
from inferplan.engine.planner import plan

IDENTITY = {"instance": "default/llama", "args": "ab"}


def test_command_and_args_are_not_the_same() -> None:
    assert args_digest(("vllm",), ("serve",)) != args_digest(("vllm", "serve"), ())
    assert args_digest(("a",), ()) == args_digest(["a"], [])
    assert len(args_digest((), ())) == 64


def test_an_observations_digest_sees_everything() -> None:
    assert observation_digest(an.observation()) == observation_digest(an.observation())
    others = [
        an.observation(load={"kv_cache_usage": 0.31}),
        an.observation(settings={"max_batch_size": 33}),
        an.observation(model=Missing(Reason.MODEL_CONFIG_MISSING, "none")),
        an.observation(replicas=2),
        replace(an.observation(), replica_metrics=(ReplicaMetrics("p-1", num_requests_running=3.0),)),
        an.observation(drop=("block_size", "dtype", "quantization")),
        an.observation(declared=WorkloadSpec(concurrency=8)),
        an.observation(declared=WorkloadSpec(concurrency=9)),
    ]
    assert len({observation_digest(each) for each in [an.observation(), *others]}) == len(others) + 1


def test_what_decides_how_fast_a_replica_is_has_a_digest_of_its_own() -> None:
    """A calibration holds for exactly this; what was measured, and how often it runs, is none of it."""
    same = [
        an.observation(),
        an.observation(load={"kv_cache_usage": 0.31}, replicas=3),
        an.observation(settings={"max_batch_size": 33}),  # a window says itself how many ran
    ]
    assert len({deployment_digest(each, "image", "args") for each in same}) == 1
    others = [
        deployment_digest(an.observation(), "image", "args"),
        deployment_digest(an.observation(), "other", "args"),
        deployment_digest(an.observation(), "image", "other"),
        deployment_digest(an.observation(settings={"max_num_batched_tokens": 4096}), "image", "args"),
        deployment_digest(an.observation(accelerator=replace(an.observation().accelerator, count=2)), "image", "args"),
        deployment_digest(an.observation(config=replace(an.observation().config, model="other")), "image", "args"),
    ]
    assert len(set(others)) == 6


def test_noise_gives_the_same_plan_and_another_change_another() -> None:
    first = plan(an.observation(), Policy()).decision
    noisy = plan(an.observation(load={"kv_cache_usage": 0.31, "num_requests_waiting": 13.0}), Policy()).decision
    other = plan(an.observation(load={"kv_cache_usage": 0.99, "num_requests_running": 20.0}), Policy()).decision
    assert first != noisy
    assert plan_hash(first, IDENTITY) == plan_hash(noisy, IDENTITY)
    assert plan_hash(first, IDENTITY) != plan_hash(other, IDENTITY)
    assert plan_hash(first, IDENTITY) != plan_hash(first, {**IDENTITY, "args": "cd"})


def test_a_plans_name_is_cut_to_what_kubernetes_allows() -> None:
    assert plan_name("llama-70b", "3f9c1d20ab") == "llama-70b-3f9c1d20"
    assert len(plan_name("a" * 253, "3f9c1d20ab")) == 253
    assert plan_name("a" * 243 + ".bcd", "3f9c1d20ab") == "a" * 243 + "-3f9c1d20"
