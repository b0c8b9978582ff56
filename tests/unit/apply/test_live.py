"""Workloads, pods and windows as they stand."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.build import an

from inferplan.apply.live import read_live
from inferplan.apply.pods import PodState, pod_states
from inferplan.apply.window import window_of
from inferplan.domain.observation import Metrics
from inferplan.engine.identity import args_digest

CONTAINER = {"name": "vllm", "image": "vllm/vllm-openai:v0.33.0", "args": ["--model=llama"]}
DIGEST = args_digest((), ("--model=llama",))


def deployment(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "kind": "Deployment",
        "metadata": {"name": "llama", "uid": "u", "resourceVersion": "7", "generation": 3},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "llama"}},
            "template": {"metadata": {"labels": {"app": "llama"}}, "spec": {"containers": [CONTAINER]}},
        },
        "status": {
            "observedGeneration": 3,
            "replicas": 2,
            "updatedReplicas": 2,
            "readyReplicas": 2,
            "availableReplicas": 2,
        },
    }
    for path, value in changes.items():
        place, *rest = path.split("__")
        base[place] = {**base[place], rest[0]: value}
    return base


def test_a_deployment_that_stands() -> None:
    live = read_live(deployment(), "vllm")
    assert (live.kind, live.name, live.uid, live.resource_version) == ("Deployment", "llama", "u", "7")
    assert live.args_digest == DIGEST
    assert live.rolled_out
    assert live.rolls
    assert (live.takes_down, live.paused_by_owner, live.rollout_paused) == (False, False, False)
    assert live.stuck == ""
    assert (live.attempt, live.pod_labels) == ("", {"app": "llama"})


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
        {"observedGeneration": 3, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3},
        {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
        {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1},
    ],
)
def test_a_deployment_that_rolls(status: dict[str, Any]) -> None:
    assert not read_live(deployment() | {"status": status}, "vllm").rolled_out


def test_the_rest_of_the_template_is_all_but_the_engines_words() -> None:
    def rest(container: dict[str, Any], **template: Any) -> str:
        document = deployment()
        document["spec"] = {
            **document["spec"],
            "template": {**template, "spec": {"containers": [container, {"name": "p"}]}},
        }
        return read_live(document, "vllm").template_digest

    same = rest(CONTAINER)
    assert rest({**CONTAINER, "args": ["--x"], "command": ["sh"]}) == same
    assert rest(CONTAINER, metadata={"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}) == same
    assert rest({**CONTAINER, "image": "vllm/vllm-openai:v0.34.0"}) != same
    assert rest({**CONTAINER, "env": [{"name": "A", "value": "1"}]}) != same


def test_another_container_is_none() -> None:
    live = read_live(deployment(), "engine")
    assert (live.container, live.args_digest) == (None, None)


@pytest.mark.parametrize(
    ("strategy", "replicas", "takes_down"),
    [
        ({}, 3, False),  # 25 % of three, rounded down
        ({}, 4, True),
        ({"type": "Recreate"}, 1, True),
        ({"rollingUpdate": {"maxUnavailable": 0}}, 9, False),
        ({"rollingUpdate": {"maxUnavailable": 1}}, 9, True),
        ({"rollingUpdate": {"maxUnavailable": "0%"}}, 9, False),
        ({"rollingUpdate": {"maxUnavailable": "50%"}}, 2, True),
    ],
)
def test_whether_a_rollout_takes_pods_down(strategy: dict[str, Any], replicas: int, takes_down: bool) -> None:
    document = deployment(spec__strategy=strategy)
    document["spec"]["replicas"] = replicas
    assert read_live(document, "vllm").takes_down is takes_down


@pytest.mark.parametrize(
    ("update", "rolls"),
    [
        ({}, True),
        ({"type": "OnDelete"}, False),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, False),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, True),
    ],
)
def test_whether_a_stateful_set_rolls(update: dict[str, Any], rolls: bool) -> None:
    live = read_live(deployment(spec__updateStrategy=update) | {"kind": "StatefulSet"}, "vllm")
    assert live.rolls is rolls
    assert live.takes_down  # it replaces pods one by one, each gone before its successor comes


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "m"}, True),
        ({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "m"}, True),
        ({"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "m"}, False),
    ],
)
def test_what_the_controller_says_of_trouble(condition: dict[str, str], told: bool) -> None:
    live = read_live(deployment(status__conditions=[condition]), "vllm")
    assert live.stuck == (f"{condition['reason']}: m" if told else "")


@pytest.mark.parametrize(("value", "paused"), [("true", True), ("garbage", True), ("false", False), ("False ", False)])
def test_anything_but_no_pauses(value: str, paused: bool) -> None:
    annotations = {"inferplan.dev/paused": value, "inferplan.dev/attempt": "llama-1.1"}
    live = read_live(deployment(metadata__annotations=annotations), "vllm")
    assert (live.paused_by_owner, live.attempt) == (paused, "llama-1.1")
    assert read_live(deployment(spec__paused=True), "vllm").rollout_paused


def pod(name: str = "p", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": "1"}, "spec": {"containers": [CONTAINER]}, "status": status}


def one(**status: Any) -> PodState:
    (state,) = pod_states([pod(**status)], "vllm")
    return state


def container(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "vllm", **state}]}


def test_a_pod_that_serves() -> None:
    state = one(conditions=[{"type": "Ready", "status": "True"}], **container(restartCount=0, state={"running": {}}))
    assert (state.ready, state.trouble, state.args_digest) == (True, "", DIGEST)
    assert not state.coming_up


def test_a_pod_that_comes_up() -> None:
    state = one(conditions=[{"type": "Ready", "status": "False"}], **container(restartCount=0, state={"running": {}}))
    assert state.coming_up
    assert one().coming_up  # nothing is known of it yet


def test_a_pod_that_no_node_takes() -> None:
    state = one(conditions=[{"type": "PodScheduled", "status": "False", "message": "no GPU"}])
    assert (state.unscheduled, state.coming_up, state.trouble) == ("no GPU", False, "")


ENDED = {"terminated": {"reason": "Error", "exitCode": 2}}


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"restartCount": 1, "lastState": ENDED, "state": {"running": {}}}, ""),
        (
            {"restartCount": 2, "lastState": ENDED, "state": {"running": {}}},
            "its engine ended 2 times (Error, exit code 2)",
        ),
        (
            {"restartCount": 1, "lastState": ENDED, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            "CrashLoopBackOff (Error, exit code 2)",
        ),
        (
            {"restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}},
            "ErrImagePull: no such image",
        ),
        ({"restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}, ""),
        (
            {
                "restartCount": 1,
                "state": {"running": {}},
                "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            },
            "its engine ran out of memory (OOMKilled, exit code 137)",
        ),
        ({"restartCount": 0, "state": {"terminated": {"exitCode": 1}}}, ""),
    ],
)
def test_what_a_container_that_does_not_run_says(state: dict[str, Any], told: str) -> None:
    assert one(**container(**state)).trouble == (f"pod p: {told}" if told else "")


def test_the_engine_s_last_words_are_told() -> None:
    state = PodState("p", "1", DIGEST, ready=False, restarts=2, last_words="error: unrecognized arguments: --x")
    assert state.trouble == 'pod p: its engine ended 2 times; it wrote: "error: unrecognized arguments: --x"'
    secret = replace(state, last_words="args: {'api_key': ['hunter2']}")
    assert secret.trouble == "pod p: its engine ended 2 times; it wrote: \"args: {'api_key': ['***']}\""


def test_pods_on_their_way_out_or_of_others_do_not_count() -> None:
    leaving = pod("a")
    leaving["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    other = pod("b") | {"spec": {"containers": [{"name": "sidecar"}]}}
    assert [state.name for state in pod_states([pod("z"), leaving, other, pod("c")], "vllm")] == ["c", "z"]


def test_a_window_holds_what_was_measured() -> None:
    metrics = an.serving({"ttft_mean_milliseconds": None}).metrics
    found = window_of(metrics, 3, datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert (found.ended_at, found.seconds, found.requests) == ("2026-03-01T12:00:00Z", 900, 5400.0)
    assert found.values["itl_mean_milliseconds"] == 35.0
    assert "ttft_mean_milliseconds" not in found.values
    nothing = window_of(metrics_of(requests_per_second=None), None, datetime(2026, 3, 1, tzinfo=UTC))
    assert (nothing.seconds, nothing.requests) == (0, 0.0)


def metrics_of(**load: float | None) -> Metrics:
    return an.serving(load).metrics
