"""The causes of a queue (performance-model section 4)."""

from typing import Any

import pytest
from tests.support.build import an

from inferplan.api.reasons import Reason
from inferplan.diagnose.bottlenecks import Cause, diagnose


@pytest.mark.parametrize(
    ("load", "cause"),
    [
        ({}, Cause.SCHEDULER_CAPPED),  # 32 of 32 run, 12 wait, cache at 30 %
        ({"num_requests_running": 30.4}, Cause.SCHEDULER_CAPPED),  # 0.95 x 32 = 30.4
        ({"num_requests_running": 30.3}, Cause.UNKNOWN),  # nothing else explains the queue
        ({"num_requests_waiting": 0.9}, Cause.NONE),
        ({"num_requests_running": 20.0, "num_requests_waiting": 0.0}, Cause.NONE),
        ({"num_requests_running": 20.0, "kv_cache_usage": 0.95}, Cause.KV_BOUND),
        ({"num_requests_running": 20.0, "kv_cache_usage": 0.949}, Cause.UNKNOWN),
        (
            {"num_requests_running": 20.0, "num_requests_waiting": 0.0, "kv_cache_usage": 0.99},
            Cause.NONE,  # full, and nobody waits
        ),
        (
            {
                "num_requests_running": 20.0,
                "num_requests_waiting": 0.0,
                "kv_cache_usage": 0.99,
                "preemptions_per_second": 0.1,
            },
            Cause.KV_BOUND,
        ),
        ({"kv_cache_usage": 1.0}, Cause.OVERLOAD),
        ({"kv_cache_usage": 1.0, "preemptions_per_second": None}, Cause.OVERLOAD),
        ({"num_requests_running": 0.0, "num_requests_waiting": 0.0}, Cause.IDLE),
        ({"num_requests_running": None}, Cause.UNKNOWN),
        ({"num_requests_waiting": None}, Cause.UNKNOWN),
        ({"kv_cache_usage": None}, Cause.UNKNOWN),
    ],
)
def test_causes_are_told_apart(load: dict[str, float | None], cause: Cause) -> None:
    found = diagnose(an.observation(load=load))
    assert found.cause is cause
    assert bool(found.missing) is (cause is Cause.UNKNOWN)


@pytest.mark.parametrize("cap", [{"drop": ("max_batch_size",)}, {"settings": {"max_batch_size": 0}}])
def test_a_queue_without_a_known_cap_cannot_be_judged(cap: dict[str, Any]) -> None:
    found = diagnose(an.observation(**cap))
    assert (found.cause, found.missing[0].code) == (Cause.UNKNOWN, Reason.SETTING_UNKNOWN)
    assert diagnose(an.observation(load={"kv_cache_usage": 1.0}, **cap)).cause is Cause.KV_BOUND
    assert diagnose(an.observation(load={"num_requests_waiting": 0.0}, **cap)).cause is Cause.NONE


def test_every_data_parallel_rank_has_its_own_cap() -> None:
    two = {"data_parallel_size": 2}  # 2 x 32 = 64
    assert diagnose(an.observation(settings=two)).cause is Cause.UNKNOWN
    assert diagnose(an.observation(settings=two, load={"num_requests_running": 64.0})).cause is Cause.SCHEDULER_CAPPED


def test_a_finding_names_metric_value_and_threshold() -> None:
    full, capped = diagnose(an.observation(load={"kv_cache_usage": 0.99, "preemptions_per_second": 0.5})).bottlenecks
    assert (full.type, full.value, full.threshold) == ("KvBound", 0.99, 0.95)
    assert "0.5 preemptions per second" in full.description
    assert (capped.type, capped.value, capped.threshold) == ("SchedulerCapped", 32.0, 30.4)
    assert "32 requests run, which is the cap of 32, while 12 wait" in capped.description
    unmeasured = diagnose(an.observation(load={"kv_cache_usage": 0.99, "preemptions_per_second": None}))
    assert "preemptions" not in unmeasured.bottlenecks[0].description
