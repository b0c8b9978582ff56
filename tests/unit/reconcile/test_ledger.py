"""The ledger: what plans promised, and what came of them."""

from typing import Any

import pytest

from inferplan.reconcile.ledger import ledger_entry, newest_first

SHOWN = {"predicted": "throughput +70%", "realized": "output tokens per second +60%", "error": "-10 percentage points"}


def plan(name: str = "llama-abababab", **status: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"phase": "Verified", "attempt": {"patchedAt": "2026-03-01T12:00:00Z"}}
    return {
        "metadata": {"name": name},
        "spec": {"summary": {"changes": "max_batch_size 32→64"}},
        "status": {**base, **status},
    }


def test_a_plan_that_was_measured_says_what_it_promised_and_what_came() -> None:
    window = {"endedAt": "2026-03-01T12:30:00Z"}
    found = ledger_entry(plan(verification={**SHOWN, "verdict": "Keep", "window": window}))
    assert found is not None
    assert found.to_kube() == {
        "plan": "llama-abababab",
        "changes": "max_batch_size 32→64",
        "phase": "Verified",
        "endedAt": "2026-03-01T12:30:00Z",
        **SHOWN,
        "verdict": "Keep",
    }


def test_a_canary_counts_as_a_try() -> None:
    canary = {"startedAt": "2026-03-01T11:00:00Z", "verification": {**SHOWN, "verdict": "RollBack"}}
    found = ledger_entry(plan(phase="RolledBack", attempt=None, canary=canary))
    assert found is not None
    assert (found.verdict, found.ended_at) == ("RollBack", "2026-03-01T11:00:00Z")


@pytest.mark.parametrize(
    "status", [{"phase": "Rejected"}, {"phase": "Applying"}, {"attempt": {}}, {"attempt": None, "phase": "Failed"}]
)
def test_what_never_reached_a_pod_is_not_in_it(status: dict[str, Any]) -> None:
    assert ledger_entry(plan(**status)) is None


def test_what_cannot_be_read_is_left_out() -> None:
    assert ledger_entry(plan(name="", verification={"predicted": 7})) is None


def test_the_newest_come_first_and_no_more_than_twenty() -> None:
    times = [f"2026-03-{day:02}T12:00:00Z" for day in range(1, 26)]
    entries = [ledger_entry(plan(f"llama-{at}", attempt={"patchedAt": time})) for at, time in enumerate(times)]
    found = newest_first([*entries, None])
    assert [entry.plan for entry in found] == [f"llama-{at}" for at in range(24, 4, -1)]
