"""Whole looks, from the documents in a folder to plan and conditions.

A case is a folder: instance.yaml, deployment.yaml (none: no workload; readyReplicas 0: no pod is ready), metrics.yaml
(what Prometheus holds, see `tests.support.prometheus`; none: no series), and what is expected: plan.yaml (null: no
plan), conditions.yaml.
After a change that is meant: `pytest tests/scenarios --update-goldens`, then read the diff.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import golden
from tests.support.prometheus import FakePrometheus, vllm_series
from tests.support.world import World, node, pod

from inferplan.kube.resources import PLANS

CASES = sorted(folder.parent for folder in Path(__file__).parent.glob("*/instance.yaml"))
POD = "llama-abc-1"
CHANGING = frozenset({"lastTransitionTime", "observedAt", "observationDigest"})


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text("utf-8")) if file.exists() else None


def prometheus(metrics: dict[str, Any] | None) -> FakePrometheus:
    """The Prometheus that metrics.yaml describes."""
    described = dict(metrics or {})
    values = described.pop("values", None)
    return FakePrometheus(vllm_series([POD], "serving", **values) if values is not None else {}, **described)


def pods_of(workload: dict[str, Any]) -> list[dict[str, Any]]:
    return [pod(POD, workload)] if workload.get("status", {}).get("readyReplicas", 1) else []


def world(case: Path) -> World:
    workload = read(case / "deployment.yaml")
    documents = [read(case / "instance.yaml"), node()]
    if workload is not None:
        documents += [workload, *pods_of(workload)]
    made = World(*documents, pods=())
    made.prometheus.__dict__.update(vars(prometheus(read(case / "metrics.yaml"))))
    return made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_look_gives_the_expected_plan_and_conditions(case: Path, update_goldens: bool) -> None:
    looked = world(case)
    await looked.look()
    plans = [document["spec"] for document in looked.cluster.all(PLANS)]
    assert len(plans) <= 1
    conditions = looked.status["conditions"]
    golden.check(case / "plan.yaml", golden.masked(plans[0] if plans else None, CHANGING), update=update_goldens)
    golden.check(case / "conditions.yaml", golden.masked(conditions, CHANGING), update=update_goldens)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_second_look_writes_nothing(case: Path) -> None:
    looked = world(case)
    await looked.look()
    await looked.look()
    assert looked.cluster.writes == []
