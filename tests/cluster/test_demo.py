"""What `make demo` and `make demo-down` do, as a person would run them."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.lab import Cluster

from inferplan_lab.lab import NODE_NAME, Lab, LabConfig, own_environment

DEMO_SECONDS = 280


def demo(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = (sys.executable, "-m", "inferplan_lab.demo", *arguments, "--state", str(state))
    env = own_environment()
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=DEMO_SECONDS, env=env, cwd="/")


def processes_of(state: Path) -> Sequence[str]:
    """Command lines of live processes that name the state folder."""
    lines = subprocess.run(("ps", "-eo", "stat,args"), capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if str(state) in line and not line.startswith("Z")]


@pytest.mark.timeout(2 * DEMO_SECONDS)
def test_the_demo_prints_a_plan_and_leaves_no_process_behind(tmp_path: Path) -> None:
    state = tmp_path / "demo"
    try:
        done = demo(state, "up")
        assert done.returncode == 0, done.stderr
        assert "SchedulerCapped" in done.stdout
        assert re.search(r"llama-8b-[0-9a-f]{8}\s+llama-8b\s+Proposed\s+max_batch_size 16→32", done.stdout)
        assert "--max-num-seqs" in done.stdout
        again = demo(state, "up")
        assert again.returncode == 0, again.stderr
        assert "runs already" in again.stderr
    finally:
        down = demo(state, "down")
    assert down.returncode == 0, down.stderr
    assert processes_of(state) == []


def test_a_lab_on_the_current_cluster_registers_its_node_there(
    control_plane: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    with Lab(LabConfig(state=tmp_path / "lab", cluster="current", detached=False), lambda _line: None) as lab:
        node = control_plane.get("node", NODE_NAME)
        assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
        assert "inferenceinstances.inferplan.dev" in lab.kubectl("get", "crds")
    control_plane.kubectl("delete", "node", NODE_NAME)
    assert processes_of(tmp_path / "lab") == []
