"""A decision as the spec of a plan."""

import json
from dataclasses import replace

from tests.support.build import a, an

from inferplan.api.plan import Decision, PlanSpec
from inferplan.domain.proposal import Policy
from inferplan.engine.document import Target, name_of, patch_of, plan_spec
from inferplan.engine.identity import args_digest, observation_digest
from inferplan.engine.patching import Place
from inferplan.engine.planner import plan

SEEN = an.observation()
DECISION = plan(SEEN, Policy()).decision
NOTHING = plan(an.observation(load={"num_requests_waiting": 0.0}), Policy()).decision
TARGET = Target(Place("Deployment", "serving", "llama"), 7, a.container("m", "--max-num-seqs", "32"))
NOW = "2026-03-01T12:00:00Z"


def spec(target: Target | None = TARGET, decision: Decision = DECISION) -> PlanSpec:
    return plan_spec("llama-70b", target, SEEN, decision, NOW)


def test_a_plan_says_all_that_was_decided_and_for_what() -> None:
    made = spec()
    assert {name: getattr(made, name) for name in Decision.model_fields} == {
        name: getattr(DECISION, name) for name in Decision.model_fields
    }
    assert (made.instance_ref.name, made.engine.name, made.engine.version) == ("llama-70b", "vllm", "0.33.0")
    assert (made.observed_at, made.observation_digest) == (NOW, observation_digest(SEEN))
    assert made.target is not None
    assert (made.target.kind, made.target.name, made.target.container) == ("Deployment", "llama", "vllm")
    assert (made.target.generation, made.target.args_digest) == (
        7,
        args_digest(TARGET.container.command, TARGET.container.args),
    )
    assert made.patch is not None
    (container,) = json.loads(made.patch.server_side_apply or "")["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["m", "--max-num-seqs", "64"]


def test_without_a_workload_there_is_no_patch() -> None:
    made = spec(None)
    assert (made.target, made.patch) == (None, None)


def test_without_changes_there_is_no_patch() -> None:
    assert patch_of(TARGET, SEEN, NOTHING) is None


def test_a_plan_is_another_one_for_another_workload_container_or_command_line() -> None:
    others = [
        None,
        replace(TARGET, place=replace(TARGET.place, kind="StatefulSet")),
        replace(TARGET, place=replace(TARGET.place, name="other")),
        replace(TARGET, container=replace(TARGET.container, name="other")),
        replace(TARGET, container=replace(TARGET.container, args=("m",))),
    ]
    assert len({spec(target).plan_hash for target in (TARGET, *others)}) == 6
    assert spec(replace(TARGET, generation=8)).plan_hash == spec().plan_hash
    assert spec(TARGET, NOTHING).plan_hash != spec().plan_hash


def test_a_plans_name_is_the_instances_and_the_start_of_its_hash() -> None:
    made = spec()
    assert name_of(made) == f"llama-70b-{made.plan_hash[:8]}"
