"""What is remembered of looks, and what a status gives after a restart."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.cluster import FakeCluster

from inferplan.reconcile.instance import Key
from inferplan.reconcile.seen import LastLooks, stored_look

STATUS: dict[str, Any] = {
    "observedAt": "2026-01-01T12:00:00Z",
    "cause": "KvBound",
    "bottlenecks": [{"type": "KvBound", "severity": "high", "description": "The KV cache is full."}],
    "health": {"score": 65.0, "deductions": [{"code": "KvBound", "points": 35.0, "reason": "high"}]},
}


def document(status: Any = None, engine: str = "vllm") -> dict[str, Any]:
    return {
        "kind": "InferenceInstance",
        "metadata": {"name": "llama", "namespace": "serving"},
        "spec": {"engine": engine},
        "status": STATUS if status is None else status,
    }


def looks(*namespaces: str) -> LastLooks:
    cluster = FakeCluster()
    cluster.put(document())
    return LastLooks(cluster, namespaces)


async def test_after_a_restart_the_status_tells_what_was_seen() -> None:
    found = await looks().analysis("serving", "llama")
    assert found is not None
    assert found.observed_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert (found.analysis.cause, found.analysis.health.score) == ("KvBound", 65.0)
    assert [entry.type for entry in found.analysis.bottlenecks] == ["KvBound"]
    assert found.observation is None


async def test_an_instance_that_does_not_exist_was_not_seen() -> None:
    assert await looks().analysis("serving", "other") is None


async def test_other_namespaces_are_not_read() -> None:
    assert await looks("team-a").analysis("serving", "llama") is None
    assert await looks("team-a", "serving").analysis("serving", "llama") is not None


@pytest.mark.parametrize(
    "given",
    [
        document({}),
        document({"observedAt": "2026-01-01T12:00:00Z"}),  # of a version that kept no cause
        document({**STATUS, "health": "good"}),
        document({**STATUS, "observedAt": "yesterday"}),
        document(engine="ollama"),
        {"metadata": {}},
    ],
)
def test_a_status_that_says_nothing_readable_is_no_look(given: dict[str, Any]) -> None:
    assert stored_look(given) is None


def test_what_is_gone_is_forgotten() -> None:
    memory = looks()
    memory.forget(Key("serving", "llama"))  # never seen: nothing to forget
    assert memory._seen == {}
