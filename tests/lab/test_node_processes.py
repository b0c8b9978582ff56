"""The node stand-in's processes: what is launched, what is left over and killed, where the logs are."""

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from inferplan_lab.node import leftovers
from inferplan_lab.node.__main__ import main
from inferplan_lab.node.hardware import Gpu
from inferplan_lab.node.images import DEFAULT_FILE, ImageRule, load_rules
from inferplan_lab.node.kubelet_api import NoLogsError, find_log, tail
from inferplan_lab.node.launch import SHIM, Sandbox, UnknownImageError, locate, plan_launch
from inferplan_lab.processes import wait_until

PATIENCE_SECONDS = 20.0
MARK = "0123456789abcdef"
SLEEP = ("sleep", "60")


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def _start(started: list[subprocess.Popen[bytes]], *argv: str, **options: Any) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(argv, start_new_session=True, **options)
    started.append(process)
    return process


def test_a_session_that_was_written_down_is_killed_whole(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    # env={}: nothing but the session tells whose process it is, as for a program that overwrites its environment.
    script = "/bin/sleep 60 & /bin/sleep 60"
    leader = _start(started, "/bin/sh", "-c", script, env={})
    wait_until(lambda: len(leftovers.session_members(leader.pid)) == 3, PATIENCE_SECONDS, "three processes")
    leftovers.write_down(tmp_path, leader.pid)
    assert leftovers.kill_all(tmp_path, MARK) == 3
    assert leader.wait() == -9
    assert leftovers.belonging(tmp_path, MARK) == set()
    assert list((tmp_path / "sessions").iterdir()) == []


def test_a_marked_process_is_killed_wherever_it_went(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    ours = _start(started, *SLEEP, env={**os.environ, leftovers.MARK_VARIABLE: MARK})
    theirs = _start(started, *SLEEP, env={**os.environ, leftovers.MARK_VARIABLE: MARK + "0"})
    wait_until(lambda: ours.pid in leftovers.belonging(tmp_path, MARK), PATIENCE_SECONDS, "the mark")
    leftovers.kill_all(tmp_path, MARK)
    assert ours.wait() == -9
    assert theirs.poll() is None


def test_a_number_that_another_process_has_by_now_is_left_alone(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    process = _start(started, *SLEEP)
    leftovers.write_down(tmp_path, process.pid)
    record = tmp_path / "sessions" / str(process.pid)
    boot, ticks = record.read_text().split()
    record.write_text(f"{boot} {int(ticks) - 1}")
    assert leftovers.kill_all(tmp_path, MARK) == 0
    assert process.poll() is None


def test_the_guardian_kills_what_is_left_when_its_node_is_gone(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    orphan = _start(started, *SLEEP)
    leftovers.write_down(tmp_path, orphan.pid)
    command = [sys.executable, "-I", "-S", leftovers.__file__, str(tmp_path), MARK]
    guardian = _start(started, *command, stdin=subprocess.PIPE)
    assert orphan.poll() is None
    guardian.communicate()  # closes its standard input, as the kernel does when the node dies
    assert orphan.wait(PATIENCE_SECONDS) == -9


def _sandbox(tmp_path: Path, *rules: ImageRule) -> Sandbox:
    pod = {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"nodeName": "lab-node"}}
    return Sandbox(
        pod=pod,
        pod_ip="127.64.1.1",
        host_ip="127.64.0.1",
        gpu=Gpu(),
        scratch=tmp_path,
        api_server=("127.0.0.1", "6443"),
        mark=MARK,
        rules=rules or load_rules(DEFAULT_FILE),
    )


def test_a_vllm_image_becomes_the_simulator_with_the_nodes_hardware(tmp_path: Path) -> None:
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.24.0",
        "args": ["$(MODEL)", "--config", "/etc/vllm/config.yaml"],
        "resources": {"limits": {"nvidia.com/gpu": "4"}},
    }
    mounts = {"/etc/vllm": tmp_path / "conf"}
    launch = plan_launch(container, {"MODEL": "m", "CONF": "/etc/vllm"}, mounts, _sandbox(tmp_path))
    expected = ("-m", "inferplan_lab.engine", "serve", "m", "--config", f"{tmp_path}/conf/config.yaml")
    assert launch.argv == (sys.executable, *expected)
    simulated = {name: value for name, value in launch.env.items() if name.startswith("INFERPLAN_SIM_")}
    assert simulated == {
        "INFERPLAN_SIM_VLLM_VERSION": "0.24.0",
        "INFERPLAN_SIM_BIND": "127.64.1.1",
        "INFERPLAN_SIM_GPU_PRODUCT": "NVIDIA-H100-80GB-HBM3",
        "INFERPLAN_SIM_GPU_MEMORY_MIB": "81559",
        "INFERPLAN_SIM_GPU_COUNT": "4",
    }
    assert launch.env["CONF"] == f"{tmp_path}/conf"
    assert launch.env["PYTHONPATH"].split(":")[0] == str(SHIM)
    assert (tmp_path / "containers" / "vllm" / "bin" / "vllm").stat().st_mode & 0o111


def test_the_machines_own_variables_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    launch = plan_launch({"name": "c", "command": ["env"]}, {}, {}, _sandbox(tmp_path))
    assert "HF_TOKEN" not in launch.env
    assert launch.env["HOSTNAME"] == "p"
    assert Path(locate(launch)[0]).name == "env"


def test_an_unknown_image_runs_its_command_and_cannot_run_without_one(tmp_path: Path) -> None:
    container = {"name": "c", "image": "busybox:1", "command": ["sh", "-c"], "args": ["echo $$(X) $(X)"]}
    assert plan_launch(container, {"X": "1"}, {}, _sandbox(tmp_path)).argv == ("sh", "-c", "echo $(X) 1")
    with pytest.raises(UnknownImageError, match='image "busybox:1" is in no rule'):
        plan_launch({"name": "c", "image": "busybox:1", "args": ["x"]}, {}, {}, _sandbox(tmp_path))


def test_the_real_vllm_file_points_into_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REAL_VLLM", "/opt/real")
    rules = load_rules(DEFAULT_FILE.with_name("images-real-vllm.yaml"))
    container = {"name": "c", "image": "vllm/vllm-openai:v0.32.0", "args": ["m"]}
    launch = plan_launch(container, {}, {}, _sandbox(tmp_path, *rules))
    assert launch.argv == ("/opt/real/bin/vllm", "serve", "m")


@pytest.fixture(scope="module")
def shim() -> ModuleType:
    spec = importlib.util.spec_from_file_location("shim", SHIM / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("family", "wanted", "v6_only", "expected"),
    [
        (socket.AF_INET, ("0.0.0.0", 8000), False, ("127.64.1.1", 8000)),
        (socket.AF_INET, ("", 8000), False, ("127.64.1.1", 8000)),
        (socket.AF_INET, ("127.0.0.1", 8000), False, ("127.0.0.1", 8000)),
        (socket.AF_INET6, ("::", 8000, 0, 0), False, ("::ffff:127.64.1.1", 8000, 0, 0)),
        (socket.AF_INET6, ("::", 8000, 0, 0), True, ("::1", 0, 0, 0)),
        (socket.AF_UNIX, "/tmp/s", False, "/tmp/s"),
    ],
)
def test_only_a_wildcard_address_becomes_the_pods(
    shim: ModuleType, family: int, wanted: Any, v6_only: bool, expected: Any
) -> None:
    assert shim._pod_address(family, wanted, "127.64.1.1", v6_only=v6_only) == expected


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "pods" / "shop_web_uid"
    for name, runs in {"web": 11, "helper": 1}.items():
        (folder / name).mkdir(parents=True)
        for run in range(runs):
            (folder / name / f"{run}.log").write_text(f"{name} {run}\n")
    return tmp_path


def test_the_latest_run_and_the_one_before_are_found(logs: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert find_log(logs, "shop", "web", "web").name == "10.log"
    assert find_log(logs, "shop", "web", "web", previous=True).name == "9.log"
    assert main(["logs", "web", "-n", "shop", "-c", "helper", "--state", str(logs)]) == 0
    assert capsysbinary.readouterr().out == b"helper 0\n"


@pytest.mark.parametrize(
    ("pod", "container", "previous", "complaint"),
    [
        ("other", None, False, "pod shop/other has no logs"),
        ("web", None, False, "name one of its containers: helper, web"),
        ("web", "helper", True, "container helper has no previous log"),
    ],
)
def test_a_log_that_is_not_there_is_named(
    logs: Path, pod: str, container: str | None, previous: bool, complaint: str
) -> None:
    with pytest.raises(NoLogsError, match=complaint):
        find_log(logs, "shop", pod, container, previous=previous)


def test_the_tail_is_as_long_as_asked() -> None:
    assert [tail(b"a\nb\nc", lines) for lines in (None, 2, 0, 9)] == [b"a\nb\nc", b"b\nc", b"", b"a\nb\nc"]


def test_a_node_without_its_kubeconfig_ends_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--kubeconfig", str(tmp_path / "none"), "--state", str(tmp_path / "state")]
    assert main(arguments) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("node: [Errno 2] No such file or directory")
