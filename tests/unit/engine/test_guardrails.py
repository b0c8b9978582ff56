"""The chain that every change passes: each guard alone, and their order."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import H100, a, an
from tests.support.levers import without_a_sized_cache

from inferplan.api.instance import OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import ConfigChange, OptimizationType
from inferplan.dialects.effective import effective
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.proposal import Policy, Undone
from inferplan.domain.serving import SettingValue
from inferplan.engine.budget import SIZING_KEYS
from inferplan.engine.guardrails import (
    ALONE,
    TOGETHER,
    Deed,
    Objection,
    engine_accepts,
    flag_exists,
    has_room,
    objection,
)

BATCHING = frozenset({OptimizerName.BATCHING, OptimizationType.BATCHING})


def change(
    parameter: str = "max_batch_size",
    value: SettingValue | None = 64,
    flag: str | None = None,
    current: SettingValue | None = None,
) -> ConfigChange:
    return ConfigChange(
        parameter=parameter,
        flag=flag,
        current_value=current,
        recommended_value=value,
        removes_flag=value is None,
        reason="test",
    )


def deed(*changes: ConfigChange) -> Deed:
    return Deed(changes or (change(),), BATCHING)


def against(done: Deed, observation: Observation | None = None, policy: Policy | None = None) -> Objection | None:
    """What all guards say, in their order."""
    return objection((*ALONE, *TOGETHER), done, observation or an.observation(), policy or Policy())


@pytest.mark.parametrize(
    "name",
    [
        "batching",
        "maxBatchSize",
        "max_batch_size",
        "--max-num-seqs",
        "max_num_seqs",
        "maxNumSeqs",
    ],
)
def test_what_the_owner_forbids_is_left_out_in_every_spelling(name: str) -> None:
    found = against(deed(), policy=Policy(forbid=(name,)))
    assert found is not None
    assert found.code == Reason.FORBIDDEN
    assert found.reason.startswith("spec.constraints.forbid names ")


@pytest.mark.parametrize("name", ["kvCache", "kv_cache"])
def test_an_optimizer_is_forbidden_by_either_of_its_names(name: str) -> None:
    ideas = frozenset({OptimizerName.KV_CACHE, OptimizationType.KV_CACHE})
    found = against(Deed((change("block_size", 32),), ideas), policy=Policy(forbid=(name,)))
    assert found == Objection(Reason.FORBIDDEN, f"spec.constraints.forbid names {name}")


@pytest.mark.parametrize("name", ["kvCache", "kv_cache", "quantization", "--kv-cache-dtype", "nonsense"])
def test_what_else_is_forbidden_does_not_matter(name: str) -> None:
    assert against(deed(), policy=Policy(forbid=(name,))) is None


@pytest.mark.parametrize("name", ["--no-enable-prefix-caching", "enablePrefixCaching", "--enable-prefix-caching"])
def test_a_switch_is_forbidden_by_either_of_its_flags(name: str) -> None:
    switch = change("enable_prefix_caching", value=True)
    assert against(deed(switch), policy=Policy(forbid=(name,))) is not None


def test_every_forbidden_name_that_is_hit_is_told() -> None:
    found = against(
        deed(change(), change("block_size", 32)), policy=Policy(forbid=("blockSize", "--max-num-seqs", "x"))
    )
    assert found is not None
    assert found.reason == "spec.constraints.forbid names block_size, max_batch_size"


@pytest.mark.parametrize(
    ("length", "floor", "passes"), [(8191, 8192, False), (8192, 8192, True), (100, None, True), ("auto", 8192, True)]
)
def test_the_context_does_not_fall_below_what_the_owner_needs(
    length: SettingValue, floor: int | None, passes: bool
) -> None:
    found = against(deed(change("max_model_len", length)), policy=Policy(min_max_model_len=floor))
    assert found == (
        None if passes else Objection(Reason.FORBIDDEN, "max_model_len would fall below minMaxModelLen 8192")
    )


@pytest.mark.parametrize(
    ("parameter", "current", "value", "passes"),
    [
        ("max_batch_size", 32, 64, True),
        ("max_batch_size", 32, 65, False),
        ("max_batch_size", 32, 1, True),  # down as far as anybody likes
        ("max_num_batched_tokens", 2048, 8192, True),
        ("max_num_batched_tokens", 2048, 8193, False),
        ("max_batch_size", None, 1000, True),  # how far that is nobody knows
        ("max_batch_size", 32, None, True),
        ("block_size", 16, 64, True),  # no limit
    ],
)
def test_a_limit_moves_by_so_much_at_most(parameter: str, current: int | None, value: int | None, passes: bool) -> None:
    found = objection(ALONE, deed(change(parameter, value, current=current)), an.observation(), Policy())
    assert (found is None) is passes
    if found is not None:
        most = 2 if parameter == "max_batch_size" else 4
        assert found.code is Reason.STEP_TOO_LARGE
        assert found.reason == f"{parameter} would go from {current} to {value}, a plan multiplies it by {most} at most"


def test_memory_must_hold_one_request() -> None:
    found = against(deed(), an.observation(load={"kv_cache_tokens": 8300.0}))
    assert found is not None
    assert found.code == Reason.MEMORY_UNPROVEN  # 94 MB of graphs are 720 tokens, and one request may have 8192


def test_the_memory_of_the_model_that_would_run_counts() -> None:
    seen = an.observation()
    assert not isinstance(seen.model, Missing)
    huge = replace(seen.model, layers=seen.model.layers * 12)
    weights = Deed((change("quantization", "fp8_per_tensor", flag="--quantization"),))
    assert against(weights, seen) is None
    assert against(replace(weights, card=huge), seen) is not None


FULL: dict[str, float | None] = {"kv_cache_usage": 0.97}


@pytest.mark.parametrize(
    ("load", "passes"),
    [
        ({}, True),
        (FULL, False),
        ({"kv_cache_usage": 0.94}, True),
        ({"preemptions_per_second": 0.01}, False),  # between two samples of its use
    ],
)
def test_a_cache_that_was_full_gets_no_more_requests(load: dict[str, float | None], passes: bool) -> None:
    found = against(deed(change(current=32)), an.observation(load=load))
    assert (found is None) is passes
    if found is not None:
        assert found.code is Reason.KV_BOUND
        assert found.reason == "the KV cache was full: 1.00 times its tokens are too few for 2.00 times the requests"


@pytest.mark.parametrize(
    ("beside", "cap", "passes"),
    [
        (change("kv_cache_dtype", "fp8"), 64, True),  # twice the tokens, less what larger graphs take
        (change("quantization", "fp8_per_tensor"), 64, False),  # 1.13 times
        (change("quantization", "fp8_per_tensor"), 37, True),
        (change("gpu_memory_utilization", 0.95), 64, False),
    ],
)
def test_a_cache_that_was_full_gets_as_many_more_requests_as_it_becomes_larger(
    beside: ConfigChange, cap: int, passes: bool
) -> None:
    found = against(deed(change(value=cap, current=32), beside), an.observation(load=FULL))
    assert (found is None) is passes


@pytest.mark.parametrize("value", [32, 16])
def test_a_full_cache_may_have_fewer_requests(value: int) -> None:
    assert against(deed(change(value=value, current=32)), an.observation(load=FULL)) is None


@pytest.mark.parametrize(
    "seen",
    [
        an.observation(load=FULL, drop=("max_batch_size",)),
        an.observation(load=FULL, settings={"max_batch_size": 0}),
        an.observation(load=FULL, settings={"max_batch_size": "many"}),
    ],
)
def test_how_many_more_an_unknown_cap_gives_is_not_known(seen: Observation) -> None:
    assert objection((has_room,), deed(change()), seen, Policy()) is None


@pytest.mark.parametrize(
    "unsized",
    [an.observation(load=FULL, model=NO_MODEL_CONFIG), without_a_sized_cache(load={**FULL, "kv_cache_tokens": None})],
)
def test_a_full_cache_whose_size_cannot_be_told_gets_no_more_requests(unsized: Observation) -> None:
    more = deed(change(current=32))
    found = objection((has_room,), more, unsized, Policy(rules_of_thumb=True))
    assert found is not None
    assert found.code is Reason.KV_BOUND
    assert found.reason.startswith("the KV cache was full, and its size cannot be told: ")


def test_a_new_format_that_cannot_be_sized_makes_no_room() -> None:
    more = deed(change(current=32), change("kv_cache_dtype", "somehow"))
    assert objection((has_room,), more, an.observation(load=FULL), Policy()) is not None


SEQS = {"parameter": "max_batch_size", "flag": "--max-num-seqs"}
CACHE = {"parameter": "kv_cache_dtype", "flag": "--kv-cache-dtype"}


@pytest.mark.parametrize(
    ("version", "changed", "told"),
    [
        ("0.33.0", {**SEQS, "value": 64}, None),
        ("0.33.0", {**CACHE, "value": "fp8"}, None),
        ("0.33.0", {**CACHE, "value": "fp3"}, "vllm 0.33.0 is not known to take fp3 for --kv-cache-dtype"),
        (
            "0.33.0",
            {"parameter": "swap_space", "flag": "--swap-space", "value": 4},
            "0.33.0 is not known to have --swap-space",
        ),
        ("0.17.1", {"parameter": "swap_space", "flag": "--swap-space", "value": 4}, None),
        ("0.18.0", {"parameter": "swap_space", "flag": "--swap-space", "value": 4}, "is not known to have"),  # between
        ("0.33.0", {"parameter": "swap_space", "flag": "--swap-space", "value": None}, None),  # taken out
        ("0.33.0", {"parameter": "magic", "flag": "--magic", "value": 1}, "is not known to have --magic"),
        ("0.33.0", {"parameter": "magic", "value": 1}, None),  # no flag does it
        (None, {**SEQS, "value": 64}, None),  # given
        (None, {**CACHE, "value": "fp8"}, "the engine's version is not known, and --kv-cache-dtype is not given"),
    ],
)
def test_only_flags_that_the_running_version_has_are_proposed(
    version: str | None, changed: dict[str, Any], told: str | None
) -> None:
    config = a.config(version=version, max_batch_size=32, max_model_len=8192)
    found = flag_exists(deed(change(**changed)), an.observation(config=config), Policy())
    assert (found is None) is (told is None)
    if found is not None:
        assert found.code == Reason.FLAG_UNSUPPORTED
        assert (told or "") in found.reason


def test_without_a_workload_a_rule_of_thumb_needs_no_version() -> None:
    bare = an.observation(config=a.config(version=None, max_batch_size=32))
    assert flag_exists(deed(change(**CACHE, value="fp8")), bare, Policy(rules_of_thumb=True)) is None


def test_settings_that_the_engine_refuses_together_are_not_proposed() -> None:
    found = against(deed(change(**SEQS, value=9000)))
    assert found is not None
    assert found.code == Reason.ENGINE_REFUSES
    assert found.reason == "max_num_batched_tokens 8192 is less than max_batch_size 9000; it must be at least that"
    both = deed(change(**SEQS, value=9000), change("max_num_batched_tokens", 9000, "--max-num-batched-tokens"))
    assert against(both) is None


def test_what_the_engine_refuses_already_is_no_objection() -> None:
    broken = an.observation(settings={"max_batch_size": 9000})
    assert engine_accepts(deed(change(**SEQS, value=9001)), broken, Policy()) is None
    assert engine_accepts(deed(change(**SEQS, value=9001)), replace(broken, model=NO_MODEL_CONFIG), Policy()) is None


def test_a_change_without_a_flag_is_none_of_the_engines_arguments() -> None:
    assert engine_accepts(deed(change(value=9000)), an.observation(), Policy()) is None


def test_a_change_that_sizes_nothing_needs_no_memory() -> None:
    unsized = an.observation(drop=("kv_cache_dtype",), load={"kv_cache_tokens": 10.0})
    switch = change("enable_prefix_caching", value=False, flag="--enable-prefix-caching")
    assert against(deed(switch), unsized) is None
    assert against(deed(change(**SEQS, value=64)), unsized) is not None


def test_what_cannot_be_sized_passes_only_where_no_live_workload_is_changed() -> None:
    unsized = an.observation(drop=("kv_cache_dtype",), load={"kv_cache_tokens": 10.0})
    assert against(deed(change(**SEQS, value=64)), unsized, Policy(rules_of_thumb=True)) is None


def test_the_owners_word_comes_before_all_that_is_unsafe() -> None:
    wrong = deed(change("max_batch_size", 9000, "--max-num-seqs", current=32), change("magic", 1, "--magic"))
    codes = []
    for done, policy in (
        (wrong, Policy(forbid=("batching",))),
        (wrong, Policy()),
        (deed(wrong.changes[0]), Policy()),
        (deed(unknown_today(wrong.changes[0])), Policy()),
    ):
        found = against(done, policy=policy)
        assert found is not None
        codes.append(found.code)
    assert codes == [Reason.FORBIDDEN, Reason.FLAG_UNSUPPORTED, Reason.STEP_TOO_LARGE, Reason.ENGINE_REFUSES]


def unknown_today(one: ConfigChange) -> ConfigChange:
    """The same where nobody knows what is set today."""
    return one.model_copy(update={"current_value": None})


def test_memory_holds_with_what_follows_from_a_change() -> None:
    """Whole prompts of 131,072 tokens take as many in a step, which leaves a small GPU no memory for the cache."""
    small = replace(H100, product="NVIDIA-L4", memory_mib=23_034, compute_capability=89)
    seen = an.observation(
        config=effective(a.config(max_model_len=131_072, kv_cache_dtype="fp8"), small, model=a.model()),
        accelerator=small,
        load={"kv_cache_tokens": None},
    )
    whole = change("enable_chunked_prefill", value=False, flag="--enable-chunked-prefill")
    assert "enable_chunked_prefill" not in SIZING_KEYS
    found = against(deed(whole), seen)
    assert found is not None
    assert found.code is Reason.MEMORY_UNPROVEN


def test_a_full_cache_is_asked_for_room_by_whatever_lets_more_requests_run() -> None:
    seen = an.observation(load=FULL, config=effective(a.config(max_batch_size=32, max_model_len=8192), H100))
    no_cap = change(value=None, current=32)
    found = objection((has_room,), deed(no_cap), seen, Policy())
    assert found is not None
    assert found.reason.endswith("are too few for 32.00 times the requests")  # 1,024 of 32


@pytest.mark.parametrize(
    ("failed", "stopped"),
    [
        ({"max_batch_size": Undone(64, 32)}, True),
        ({"max_batch_size": Undone(64)}, True),
        ({"max_batch_size": Undone(64, 32), "enforce_eager": Undone(None)}, True),  # which of both did it is not known
        ({"max_batch_size": Undone(48, 32)}, True),  # more of what did harm
        ({"max_batch_size": Undone(128, 32)}, True),  # a part of it
        ({"max_batch_size": Undone(128)}, True),  # what ran before is not known
        ({"max_batch_size": Undone(128, 64)}, False),  # up to what ran before
        ({"max_batch_size": Undone(16, 32)}, False),  # the other way
        ({"max_batch_size": Undone(32, 16)}, False),  # where it stands by now
        ({"max_batch_size": Undone(None)}, False),
        ({"max_num_seqs": Undone(64, 32)}, False),
        ({}, False),
    ],
)
def test_what_was_undone_is_not_tried_again(failed: dict[str, Undone], stopped: bool) -> None:
    found = against(deed(change(current=32)), policy=Policy(failed=(failed,)))
    assert (found is not None and found.code is Reason.FAILED_BEFORE) is stopped
    if found is not None and stopped:
        value = failed["max_batch_size"].after
        told = f"max_batch_size {value} was in a plan that was undone here, on the same image, model and GPUs"
        assert found.reason == told


@pytest.mark.parametrize(("undone", "stopped"), [(Undone(8, 32), True), (Undone(8, 16), False), (Undone(8), True)])
def test_downwards_it_is_the_same(undone: Undone, stopped: bool) -> None:
    found = against(deed(change(value=16, current=32)), policy=Policy(failed=({"max_batch_size": undone},)))
    assert (found is not None and found.code is Reason.FAILED_BEFORE) is stopped


def test_a_flag_that_was_taken_out_and_put_back_stays() -> None:
    found = against(deed(change("enforce_eager", None)), policy=Policy(failed=({"enforce_eager": Undone(None)},)))
    assert found is not None
    assert found.reason.startswith("enforce_eager taken out was in a plan that was undone here")
