"""The node stand-in against the lab's real API server and controller manager (marked `cluster`)."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from inferplan_lab.control_plane import ControlPlane
from inferplan_lab.node import Node, NodeConfig, StateInUseError, leftovers

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 60.0
SERVER = ["python3", "-u", "-m", "http.server", "8000", "--directory", "/srv"]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane")) as plane:
        yield plane


@pytest.fixture
def config(plane: ControlPlane, tmp_path: Path) -> Iterator[NodeConfig]:
    yield NodeConfig(plane.kubeconfig, tmp_path / "node", backoff_scale=0.1, probe_scale=0.1)
    for kind in ("deployments", "pods", "configmaps"):
        plane.kubectl("delete", kind, "--all", "--grace-period=0", "--force", "--wait=false")
    plane.kubectl("delete", "nodes", "--all")


async def _kubectl(plane: ControlPlane, *words: str, stdin: str | None = None) -> str:
    return await asyncio.to_thread(plane.kubectl, *words, stdin=stdin)


async def _apply(plane: ControlPlane, *objects: dict[str, Any]) -> None:
    await _kubectl(plane, "apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


async def _pods(plane: ControlPlane, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(await _kubectl(plane, "get", "pods", "-o", "json", *words))["items"]
    return found


async def _until(
    plane: ControlPlane, what: str, condition: Callable[[list[dict[str, Any]]], object]
) -> list[dict[str, Any]]:
    """Poll all pods until the condition holds; fail with what they look like then."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    while True:
        pods = await _pods(plane)
        if condition(pods):
            return pods
        if loop.time() > deadline:
            pytest.fail(f"not in {PATIENCE_SECONDS} s: {what}: {json.dumps([pod['status'] for pod in pods])}")
        await asyncio.sleep(0.1)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def _containers(pod: dict[str, Any]) -> dict[str, Any]:
    return {status["name"]: status for status in pod["status"].get("containerStatuses", [])}


def _pod(name: str, command: list[str], **container: Any) -> dict[str, Any]:
    spec = {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": "any", "command": command, **container}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _deployment(greeting: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a ConfigMap and a Deployment of two web servers of it, all on port 8000 of every address."""
    name = f"files-{greeting}"
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"index.html": greeting}}
    container = {
        "name": "web",
        "image": "example.org/web:1",
        "command": SERVER,
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/index.html", "port": "http"}},
        "resources": {"limits": {"nvidia.com/gpu": "2"}},
        "volumeMounts": [{"name": "files", "mountPath": "/srv"}],
    }
    pod_spec = {
        "containers": [container],
        "volumes": [{"name": "files", "configMap": {"name": name}}],
        "terminationGracePeriodSeconds": 1,
    }
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod_spec},
    }
    return data, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


async def test_a_deployment_becomes_ready_rolls_over_and_leaves_no_process(
    plane: ControlPlane, config: NodeConfig
) -> None:
    async with Node(config) as node:
        await _apply(plane, *_deployment("one"))
        old = await _until(plane, "two ready", lambda pods: len(pods) == 2 and all(map(_is_ready, pods)))
        assert len({pod["status"]["podIP"] for pod in old}) == 2
        assert "GET /index.html" in await _kubectl(plane, "logs", "deployment/web", "--tail=1")
        await _apply(plane, *_deployment("two"))
        names = {pod["metadata"]["name"] for pod in old}
        await _until(
            plane,
            "two ready new ones",
            lambda pods: (
                len(pods) == 2 and all(_is_ready(pod) and pod["metadata"]["name"] not in names for pod in pods)
            ),
        )
        await _kubectl(plane, "delete", "deployment", "web")
        await _until(plane, "none", lambda pods: not pods)
        assert leftovers.belonging(config.state, node._mark) == set()


async def test_a_crash_restarts_backs_off_and_keeps_its_last_words(plane: ControlPlane, config: NodeConfig) -> None:
    async with Node(config):
        script = "echo ran out of ideas; exit 7"
        await _apply(plane, _pod("crash", ["sh", "-c", script], terminationMessagePolicy="FallbackToLogsOnError"))
        (pod,) = await _until(
            plane,
            "the third start's back-off",
            lambda pods: (
                pods
                and _containers(pods[0]).get("c", {}).get("restartCount", 0) >= 2
                and _containers(pods[0])["c"]["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
            ),
        )
        ended = _containers(pod)["c"]["lastState"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (7, "Error")
        assert ended["message"] == "ran out of ideas\n"
        assert pod["status"]["phase"] == "Running"
        assert not _is_ready(pod)


async def test_readiness_follows_its_probe_both_ways(plane: ControlPlane, config: NodeConfig) -> None:
    flag = config.state.parent / "flag"
    probe = {"exec": {"command": ["test", "-e", str(flag)]}, "failureThreshold": 1, "periodSeconds": 2}
    async with Node(config):
        await _apply(plane, _pod("flip", ["sleep", "600"], readinessProbe=probe))
        await _until(plane, "started", lambda pods: pods and _containers(pods[0]).get("c", {}).get("started"))
        flag.touch()
        await _until(plane, "ready", lambda pods: _is_ready(pods[0]))
        flag.unlink()
        (pod,) = await _until(plane, "unready", lambda pods: not _is_ready(pods[0]))
        assert _containers(pod)["c"]["restartCount"] == 0


async def test_a_failed_liveness_probe_and_a_kill_from_outside_restart_the_container(
    plane: ControlPlane, config: NodeConfig
) -> None:
    flag = config.state.parent / "alive"
    flag.touch()
    probe = {"exec": {"command": ["test", "-e", str(flag)]}, "failureThreshold": 2, "periodSeconds": 2}

    def latest(pods: list[dict[str, Any]]) -> tuple[int, str]:
        status = _containers(pods[0]).get("c", {})
        return status.get("restartCount", 0), status.get("lastState", {}).get("terminated", {}).get("reason", "")

    async with Node(config) as node:
        await _apply(plane, _pod("live", ["sleep", "600"], livenessProbe=probe))
        await _until(plane, "running", lambda pods: pods and node.pids("default", "live", "c"))
        (pid,) = node.pids("default", "live", "c")
        os.kill(pid, signal.SIGKILL)
        await _until(plane, "out of memory", lambda pods: latest(pods) == (1, "OOMKilled"))
        flag.unlink()
        await _until(plane, "killed by its probe", lambda pods: latest(pods) >= (2, "Error"))


async def test_what_cannot_run_says_why(plane: ControlPlane, config: NodeConfig) -> None:
    greedy = _pod("greedy", ["sleep", "1"], resources={"limits": {"nvidia.com/gpu": "9"}})
    stranger = _pod("stranger", [])
    missing = _pod("missing", ["no-such-program"])
    missing["spec"]["restartPolicy"] = "Never"

    def by_name(pods: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {pod["metadata"]["name"]: pod["status"] for pod in pods}

    async with Node(config):
        await _apply(plane, greedy, stranger, missing)

        def is_known(pods: list[dict[str, Any]]) -> bool:
            found = by_name(pods)
            refused = any(
                condition.get("reason") == "Unschedulable" for condition in found["greedy"].get("conditions", [])
            )
            waiting = json.dumps(found["stranger"].get("containerStatuses", ""))
            return refused and "ErrImagePull" in waiting and found["missing"]["phase"] == "Failed"

        found = by_name(await _until(plane, "three reasons", is_known))
        (condition,) = [entry for entry in found["greedy"]["conditions"] if entry["type"] == "PodScheduled"]
        assert condition["message"] == "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
        ended = found["missing"]["containerStatuses"][0]["state"]["terminated"]
        assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)


async def test_init_containers_run_in_order_and_a_job_like_pod_succeeds(
    plane: ControlPlane, config: NodeConfig
) -> None:
    pod = _pod("steps", ["sh", "-c", "cat /work/order"])
    mount = [{"name": "work", "mountPath": "/work"}]

    def step(name: str, script: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "image": "any", "command": ["sh", "-c", script], "volumeMounts": mount, **more}

    pod["spec"]["containers"][0]["volumeMounts"] = mount
    pod["spec"] |= {
        "restartPolicy": "Never",
        "volumes": [{"name": "work", "emptyDir": {}}],
        "initContainers": [
            step("first", "echo first >>/work/order"),
            step("beside", "echo beside >>/work/order; exec sleep 600", restartPolicy="Always",
                 startupProbe={"exec": {"command": ["true"]}, "periodSeconds": 1, "initialDelaySeconds": 5}),
            step("second", "echo second >>/work/order"),
        ],
    }  # fmt: skip
    async with Node(config) as node:
        await _apply(plane, pod)
        await _until(plane, "succeeded", lambda pods: pods and pods[0]["status"]["phase"] == "Succeeded")
        assert (await _kubectl(plane, "logs", "steps")).split() == ["first", "beside", "second"]
        assert node.pids("default", "steps") == ()


def _node_process(config: NodeConfig) -> subprocess.Popen[str]:
    arguments = ["--kubeconfig", str(config.kubeconfig), "--state", str(config.state), "--backoff-scale", "0.1"]
    command = [sys.executable, "-m", "inferplan_lab.node", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)


async def test_a_killed_node_leaves_no_process_and_its_successor_takes_the_pods_over(
    plane: ControlPlane, config: NodeConfig
) -> None:
    process = _node_process(config)
    try:
        assert process.stdout is not None
        assert (await asyncio.to_thread(process.stdout.readline)).startswith("node lab-node ready at 127.")
        with pytest.raises(StateInUseError):
            async with Node(config):
                pytest.fail("two nodes with one state folder")
        await _apply(plane, _pod("stays", ["sh", "-c", "sleep 600 & sleep 600"]))
        (before,) = await _until(plane, "ready", lambda pods: pods and _is_ready(pods[0]))
    finally:
        process.kill()
        process.communicate()
    mark = Node(config)._mark
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while leftovers.belonging(config.state, mark):
        assert asyncio.get_running_loop().time() < deadline, "processes outlive their node"
        await asyncio.sleep(0.05)
    async with Node(config):
        (after,) = await _until(
            plane,
            "restarted",
            lambda pods: _is_ready(pods[0]) and _containers(pods[0])["c"]["restartCount"] == 1,
        )
        assert after["status"]["podIP"] == before["status"]["podIP"]
        assert _containers(after)["c"]["lastState"]["terminated"]["exitCode"] == 137
    assert leftovers.belonging(config.state, mark) == set()


async def test_a_stopped_node_kills_its_pods_and_leaves_their_objects(plane: ControlPlane, config: NodeConfig) -> None:
    process = _node_process(config)
    try:
        await _apply(plane, _pod("stays", ["sh", "-c", "trap '' TERM; sleep 600 & wait"]))
        await _until(plane, "ready", lambda pods: pods and _is_ready(pods[0]))
        process.terminate()
        await asyncio.to_thread(process.wait, PATIENCE_SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert leftovers.belonging(config.state, Node(config)._mark) == set()
    assert [pod["metadata"]["name"] for pod in await _pods(plane)] == ["stays"]


async def test_the_simulator_stands_for_the_vllm_image_and_sees_the_nodes_hardware(
    plane: ControlPlane, config: NodeConfig
) -> None:
    model = ["facebook/opt-125m", "--port", "8000"]
    engine = _pod("engine", [], args=model, resources={"limits": {"nvidia.com/gpu": "1"}})
    engine["spec"]["containers"][0] |= {
        "image": "vllm/vllm-openai:v0.24.0",
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}},
    }
    async with Node(config), aiohttp.ClientSession() as session:
        await _apply(plane, engine)
        (pod,) = await _until(plane, "serving", lambda pods: pods and _is_ready(pods[0]))
        async with session.get(f"http://{pod['status']['podIP']}:8000/version") as answer:
            assert await answer.json() == {"version": "0.24.0"}


async def test_an_outage_of_the_api_server_stops_nothing_and_is_caught_up_with(
    plane: ControlPlane, config: NodeConfig
) -> None:
    async with Node(config) as node:
        await _apply(plane, _pod("steady", ["sleep", "600"]), _pod("doomed", ["sleep", "600"]))
        await _until(plane, "two ready", lambda pods: len(pods) == 2 and all(map(_is_ready, pods)))
        (steady,), (doomed,) = node.pids("default", "steady"), node.pids("default", "doomed")
        server = json.loads((plane.state / "kube-apiserver.pid").read_text())["pid"]
        os.kill(server, signal.SIGKILL)  # a stop in good order would wait for the node's open watch
        os.kill(doomed, signal.SIGKILL)
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while node.pids("default", "doomed") in {(), (doomed,)} or plane.is_running():  # SIGKILL takes its time, too
            assert asyncio.get_running_loop().time() < deadline, "not restarted without the API server"
            await asyncio.sleep(0.05)
        plane.start()  # in this thread: what a thread has started dies with it
        pods = await _until(
            plane, "the restart", lambda pods: sum(_containers(pod)["c"]["restartCount"] for pod in pods) == 1
        )
        assert all(map(_is_ready, pods))
        assert node.pids("default", "steady") == (steady,)
        await _kubectl(plane, "delete", "pods", "--all")
        assert node.pids("default", "steady") == ()
