"""The node stand-in's pod status, container environment and volumes."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from inferplan_lab.node.environment import MissingReferenceError, References, container_env
from inferplan_lab.node.records import (
    KILLED,
    Record,
    Running,
    Terminated,
    Waiting,
    exit_reason,
    killed_record,
    record_status,
    recovered,
)
from inferplan_lab.node.status import (
    PodFacts,
    changed_fields,
    final_phase,
    pod_phase,
    pod_status,
    unschedulable_condition,
)
from inferplan_lab.node.volumes import VolumeSources, container_mounts, materialize, token_audiences

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def _ended(code: int = 0) -> Terminated:
    return Terminated(code, exit_reason(code, killed_by_us=False), NOW, NOW)


NEW = Record("c", "image")
RUNS = replace(NEW, state=Running(NOW), ready=True, started=True, container_id="id")
DONE = replace(NEW, state=_ended(0))
FAILED = replace(NEW, state=_ended(3))
LOOPS = replace(NEW, state=Waiting("CrashLoopBackOff"), last=_ended(3), restarts=2)


def _facts(*main: Record, init: tuple[Record, ...] = ()) -> PodFacts:
    return PodFacts("127.64.1.1", "127.64.0.1", NOW, init, main)


def _pod(policy: str = "Always", init: tuple[dict[str, Any], ...] = (), **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "p",
            "namespace": "ns",
            "uid": "u",
            "labels": {"app": "web"},
            "annotations": {"a.b/c": "1"},
        },
        "spec": {"restartPolicy": policy, "initContainers": list(init), "nodeName": "lab-node"},
        "status": status,
    }


@pytest.mark.parametrize(
    ("policy", "main", "phase"),
    [
        ("Always", (NEW,), "Pending"),
        ("Always", (RUNS,), "Running"),
        ("Always", (RUNS, NEW), "Pending"),
        ("Always", (DONE,), "Running"),
        ("Always", (LOOPS,), "Running"),
        ("Never", (DONE, DONE), "Succeeded"),
        ("Never", (DONE, FAILED), "Failed"),
        ("Never", (DONE, RUNS), "Running"),
        ("OnFailure", (FAILED,), "Running"),
        ("OnFailure", (DONE,), "Succeeded"),
    ],
)
def test_the_phase_follows_the_containers_and_the_restart_policy(
    policy: str, main: tuple[Record, ...], phase: str
) -> None:
    assert pod_phase(_pod(policy), _facts(*main)) == phase


def test_init_containers_hold_the_pod_and_fail_it_only_where_it_never_restarts() -> None:
    init = ({"name": "i"},)
    assert pod_phase(_pod(init=init), _facts(NEW, init=(RUNS,))) == "Pending"
    assert pod_phase(_pod(init=init), _facts(RUNS, init=(DONE,))) == "Running"
    assert pod_phase(_pod("Always", init=init), _facts(NEW, init=(FAILED,))) == "Pending"
    assert pod_phase(_pod("Never", init=init), _facts(NEW, init=(FAILED,))) == "Failed"


def test_a_sidecar_counts_as_initialized_once_it_has_started_and_for_readiness() -> None:
    pod = _pod(init=({"name": "s", "restartPolicy": "Always"},))
    waiting = pod_status(pod, _facts(NEW, init=(replace(RUNS, started=False),)), NOW)
    assert _condition(waiting, "Initialized")["status"] == "False"
    running = pod_status(pod, _facts(RUNS, init=(replace(RUNS, name="s", ready=False),)), NOW)
    assert _condition(running, "Initialized")["status"] == "True"
    assert _condition(running, "Ready")["message"] == "containers with unready status: [s]"


def _condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [condition for condition in status["conditions"] if condition["type"] == kind]
    return dict(found)


def test_a_running_pod_is_ready_and_says_nothing_twice() -> None:
    first = pod_status(_pod(), _facts(RUNS), NOW)
    assert first["podIPs"] == [{"ip": "127.64.1.1"}]
    assert _condition(first, "Ready")["status"] == "True"
    second = pod_status(_pod(**first), _facts(RUNS), LATER)
    assert changed_fields(first, second) == {}


def test_a_transition_time_changes_only_with_its_condition() -> None:
    first = pod_status(_pod(), _facts(RUNS), NOW)
    second = pod_status(_pod(**first), _facts(replace(RUNS, ready=False)), LATER)
    assert set(changed_fields(first, second)) == {"conditions", "containerStatuses"}
    assert _condition(second, "Ready")["lastTransitionTime"] == "2026-11-24T15:05:00Z"
    assert _condition(second, "PodScheduled")["lastTransitionTime"] == "2026-11-24T15:00:00Z"


def test_conditions_of_others_stay_and_gates_hold_readiness() -> None:
    pod = _pod(conditions=[{"type": "DisruptionTarget", "status": "True"}])
    pod["spec"]["readinessGates"] = [{"conditionType": "example.org/open"}]
    status = pod_status(pod, _facts(RUNS), NOW)
    assert _condition(status, "DisruptionTarget") == {"type": "DisruptionTarget", "status": "True"}
    assert _condition(status, "ContainersReady")["status"] == "True"
    assert _condition(status, "Ready")["reason"] == "ReadinessGatesNotReady"
    pod["status"]["conditions"].append({"type": "example.org/open", "status": "True"})
    assert _condition(pod_status(pod, _facts(RUNS), NOW), "Ready")["status"] == "True"


def test_an_unschedulable_pod_says_so() -> None:
    (condition,) = unschedulable_condition(_pod(), "no room", NOW)
    found = (condition["type"], condition["status"], condition["reason"], condition["message"])
    assert found == ("PodScheduled", "False", "Unschedulable", "no room")


@pytest.mark.parametrize(
    ("code", "by_us", "reason"),
    [(0, False, "Completed"), (1, False, "Error"), (137, True, "Error"), (137, False, "OOMKilled")],
)
def test_a_kill_that_the_node_did_not_send_is_out_of_memory(code: int, by_us: bool, reason: str) -> None:
    assert exit_reason(code, killed_by_us=by_us) == reason


def test_a_container_that_ran_under_an_earlier_node_process_was_killed() -> None:
    record = recovered(record_status(replace(RUNS, restarts=4)), LATER)
    assert record.restarts == 4
    assert isinstance(record.state, Terminated)
    assert (record.state.exit_code, record.state.finished_at) == (KILLED, LATER)


@pytest.mark.parametrize("record", [NEW, DONE, FAILED, LOOPS])
def test_what_did_not_run_is_read_back_as_it_was_written(record: Record) -> None:
    assert recovered(record_status(record), LATER) == record


def test_a_stopped_pod_has_failed_unless_each_container_succeeded() -> None:
    assert final_phase(_facts(DONE, DONE)) == "Succeeded"
    assert final_phase(_facts(DONE, killed_record(NEW, NOW))) == "Failed"
    assert killed_record(LOOPS, NOW).state == LOOPS.last


def _references() -> References:
    config = {"data": {"level": "high", "bad.key": "x"}, "binaryData": {"blob": base64.b64encode(b"\x00").decode()}}
    secret = {"data": {"token": base64.b64encode(b"s3cret").decode()}}
    return References({"conf": config}.get, {"keys": secret}.get)


ADDRESSES = {"status.podIP": "127.64.1.1", "status.hostIP": "127.64.0.1"}


def _env(*entries: dict[str, Any], **container: Any) -> dict[str, str]:
    return container_env({"name": "c", "env": list(entries), **container}, _pod(), ADDRESSES, _references())


def _from(name: str, **source: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": source}


def test_values_come_from_fields_objects_and_resources() -> None:
    found = _env(
        _from("IP", fieldRef={"fieldPath": "status.podIP"}),
        _from("APP", fieldRef={"fieldPath": "metadata.labels['app']"}),
        _from("NOTE", fieldRef={"fieldPath": "metadata.annotations['a.b/c']"}),
        _from("NODE", fieldRef={"fieldPath": "spec.nodeName"}),
        _from("LEVEL", configMapKeyRef={"name": "conf", "key": "level"}),
        _from("TOKEN", secretKeyRef={"name": "keys", "key": "token"}),
        _from("CPUS", resourceFieldRef={"resource": "limits.cpu"}),
        _from("MIB", resourceFieldRef={"resource": "limits.memory", "divisor": "1Mi"}),
        resources={"limits": {"cpu": "1500m", "memory": "1Gi"}},
    )
    assert found == {
        "IP": "127.64.1.1",
        "APP": "web",
        "NOTE": "1",
        "NODE": "lab-node",
        "LEVEL": "high",
        "TOKEN": "s3cret",
        "CPUS": "2",  # rounded up
        "MIB": "1024",
    }


def test_a_value_expands_over_those_before_it_and_from_objects_comes_first() -> None:
    source = [{"prefix": "P_", "secretRef": {"name": "keys"}}, {"configMapRef": {"name": "no", "optional": True}}]
    plain = [{"name": "A", "value": "$(P_token)-$(B)"}, {"name": "B", "value": "$(A)"}]
    assert _env(*plain, envFrom=source) == {"P_token": "s3cret", "A": "s3cret-$(B)", "B": "s3cret-$(B)"}


def test_a_missing_object_or_key_stops_the_container_unless_optional() -> None:
    absent = {"name": "no", "key": "k"}
    with pytest.raises(MissingReferenceError, match='configmap "no" not found'):
        _env(_from("X", configMapKeyRef=absent))
    with pytest.raises(MissingReferenceError, match="couldn't find key k in secret keys"):
        _env(_from("X", secretKeyRef={"name": "keys", "key": "k"}))
    assert _env(_from("X", configMapKeyRef={**absent, "optional": True})) == {}


def _materialize(tmp_path: Path, *volumes: dict[str, Any]) -> dict[str, Path]:
    pod = _pod()
    pod["spec"]["volumes"] = list(volumes)
    sources = VolumeSources(_references(), ADDRESSES, {"": "jwt"}, "PEM", tmp_path / "claims")
    return materialize(pod, tmp_path / "scratch", sources)


def test_volumes_become_files_and_mounts_point_to_them(tmp_path: Path) -> None:
    projected = {
        "sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            {"secret": {"name": "keys", "items": [{"key": "token", "path": "deep/t"}]}},
        ]
    }
    folders = _materialize(
        tmp_path,
        {"name": "conf", "configMap": {"name": "conf"}},
        {"name": "api", "projected": projected},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
        {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
    )
    assert (folders["conf"] / "blob").read_bytes() == b"\x00"
    files = {path: (folders["api"] / path).read_text() for path in ("token", "ca.crt", "ns", "deep/t")}
    assert files == {"token": "jwt", "ca.crt": "PEM", "ns": "ns", "deep/t": "s3cret"}
    assert (folders["api"] / "token").stat().st_mode & 0o777 == 0o600
    assert folders["models"] == tmp_path / "claims" / "ns_models"
    mounts = [{"name": "conf", "mountPath": "/etc/x/", "subPath": "level"}, {"name": "shm", "mountPath": "/dev/shm"}]
    found = container_mounts({"volumeMounts": mounts}, folders)
    assert found == {"/etc/x": folders["conf"] / "level", "/dev/shm": folders["shm"]}


def test_an_empty_dir_keeps_its_files_when_its_pod_is_set_up_again(tmp_path: Path) -> None:
    volume = {"name": "work", "emptyDir": {}}
    (_materialize(tmp_path, volume)["work"] / "kept").write_text("yes")
    assert (_materialize(tmp_path, volume)["work"] / "kept").read_text() == "yes"


@pytest.mark.parametrize(
    ("volume", "complaint"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"nfs": {"server": "x"}}, "no volumes of kind nfs"),
        ({"secret": {"secretName": "keys", "items": [{"key": "k", "path": "p"}]}}, "couldn't find key k"),
    ],
)
def test_a_volume_that_cannot_be_made_says_why(tmp_path: Path, volume: dict[str, Any], complaint: str) -> None:
    with pytest.raises(MissingReferenceError, match=complaint):
        _materialize(tmp_path, {"name": "v", **volume})


def test_the_audiences_of_tokens_are_found() -> None:
    pod = _pod()
    tokens = [{"serviceAccountToken": {"path": "t"}}, {"serviceAccountToken": {"path": "v", "audience": "vault"}}]
    pod["spec"]["volumes"] = [{"name": "v", "projected": {"sources": tokens}}]
    assert token_audiences(pod) == ("", "vault")
