"""`inferplan estimate` on what the cluster holds: an instance's status with what the operator learned of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.prometheus import vllm_series
from tests.support.world import KEY, NAMESPACE, World

from inferplan.cli import main
from inferplan.kube.resources import DEPLOYMENTS, INSTANCES, NODES

Estimate = Callable[[dict[str, Any]], dict[str, Any]]


async def in_the_cluster(**seconds: float) -> dict[str, Any]:
    """`kubectl get -o yaml` of an instance after a look at 32 running requests that took so long."""
    world = World()
    world.prometheus.series = vllm_series(("llama-abc-1",), running=32.0, waiting=0.0, **seconds)
    await world.look()
    content = world.cluster.one(INSTANCES, NAMESPACE, KEY.name)
    assert content["status"]["calibration"]["samples"] == 1
    return {"kind": "List", "items": [content, *world.cluster.all(DEPLOYMENTS), *world.cluster.all(NODES)]}


@pytest.fixture
def estimate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Estimate:
    """The command's answer about a list of documents."""

    def run(documents: dict[str, Any]) -> dict[str, Any]:
        path = tmp_path / "cluster.json"
        path.write_text(json.dumps(documents))
        assert main(["estimate", "-f", str(path), "--batch=32", "--input=512", "--output=256", "-o=json"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return run


async def test_what_was_learned_moves_the_estimate_towards_what_was_seen(estimate: Estimate) -> None:
    documents = await in_the_cluster(itl=0.03)
    calibrated = estimate(documents)
    del documents["items"][0]["status"]
    plain = estimate(documents)
    assert calibrated["performance"]["source"] == "calibratedHere"
    assert plain["performance"]["source"] == "roofline"
    seen, before = (answer["performance"]["itlMilliseconds"]["expected"] for answer in (calibrated, plain))
    assert abs(seen - 30) < abs(before - 30) / 2


async def test_what_was_learned_of_other_arguments_is_not_used_and_that_is_said(estimate: Estimate) -> None:
    documents = await in_the_cluster(itl=0.03)
    workload = next(entry for entry in documents["items"] if entry["kind"] == "Deployment")
    workload["spec"]["template"]["spec"]["containers"][0]["args"].append("--enforce-eager")
    answer = estimate(documents)
    assert answer["performance"]["source"] == "roofline"
    assert any(told.startswith("status.calibration is not used") for told in answer["notes"])


@pytest.mark.parametrize("status", ["x", {"calibration": "x"}, {"calibration": {"digest": 7}}, {"calibration": None}])
async def test_a_status_that_says_nothing_is_no_error(estimate: Estimate, status: Any) -> None:
    documents = await in_the_cluster(itl=0.03)
    documents["items"][0]["status"] = status
    assert estimate(documents)["performance"]["source"] == "roofline"
