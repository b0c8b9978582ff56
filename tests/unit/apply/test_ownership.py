"""Who owns a container's arguments, and how they go back to whom they were taken from."""

import copy
from typing import Any

from tests.support.application import HASH, Stage, plan_spec

from inferplan.api.attempt import FieldOwner
from inferplan.api.plan import Approval, Phase
from inferplan.apply.case import HandBack
from inferplan.apply.ownership import argument_owners, handed_back, owned_by_us

KEY = 'k:{"name":"vllm"}'


def entry(manager: str, *fields: str, operation: str = "Apply", others: bool = True, **more: Any) -> dict[str, Any]:
    """One manager's fields: of the container, and, where it made the workload, of the rest."""
    container: dict[str, Any] = {".": {}, "f:name": {}, **{f"f:{field}": {} for field in fields}}
    spec: dict[str, Any] = {"f:template": {"f:spec": {"f:containers": {KEY: container}}}}
    if others:
        spec |= {"f:replicas": {}}
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": spec},
        **more,
    }


def workload(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "llama", "managedFields": list(entries)}}


def ours(*fields: str) -> dict[str, Any]:
    own = entry("inferplan", *fields, others=False)
    own["fieldsV1"]["f:metadata"] = {"f:annotations": {"f:inferplan.dev/attempt": {}}}
    return own


def owner(manager: str, *fields: str, operation: str = "Apply") -> FieldOwner:
    return FieldOwner(manager=manager, operation=operation, api_version="apps/v1", fields=fields)


def test_those_that_hold_args_or_command_are_owners_and_a_subresource_is_none() -> None:
    document = workload(
        entry("helm", "args", "command", "image"),
        entry("kubectl", "image"),
        entry("hpa", "args", subresource="scale"),
        entry("ada", "args", operation="Update"),
    )
    assert argument_owners(document, "vllm") == (
        owner("helm", "args", "command"),
        owner("ada", "args", operation="Update"),
    )
    assert argument_owners(document, "sidecar") == ()
    assert argument_owners({"metadata": {"managedFields": [{"manager": "x", "fieldsV1": "?"}, 7]}}, "vllm") == ()


def test_they_go_back_to_whom_they_were_taken_from_and_nothing_else_moves() -> None:
    before = workload(entry("helm", "args", "image"))
    taken = workload(entry("helm", "image"), ours("args"))
    kept = copy.deepcopy(taken)
    fields = handed_back(taken, "vllm", argument_owners(before, "vllm"))
    assert taken == kept  # what was read is not changed
    assert fields == [
        entry("helm", "image", "args"),
        {**ours(), "fieldsV1": {"f:metadata": {"f:annotations": {"f:inferplan.dev/attempt": {}}}}},
    ]
    assert handed_back(workload(*[dict(field) for field in fields]), "vllm", argument_owners(before, "vllm")) is None


def test_a_manager_that_held_nothing_else_gets_an_entry_again() -> None:
    fields = handed_back(workload(ours("args", "command")), "vllm", [owner("ada", "args", operation="Update")])
    assert fields is not None
    document = workload(*[dict(field) for field in fields])
    assert argument_owners(document, "vllm") == (
        owner("inferplan", "command"),
        owner("ada", "args", operation="Update"),
    )


def test_what_was_ours_before_or_nobodys_stays() -> None:
    document = workload(ours("args"))
    assert handed_back(document, "vllm", [owner("inferplan", "args"), owner("helm", "args")]) is None
    assert handed_back(document, "vllm", []) is None
    assert handed_back(document, "vllm", [owner("helm", "command")]) is None
    assert owned_by_us(argument_owners(document, "vllm")) == ("args",)


def test_an_entry_of_ours_with_nothing_left_goes() -> None:
    document = workload(entry("inferplan", "args", others=False), entry("helm", "image"))
    fields = handed_back(document, "vllm", [owner("helm", "args")])
    assert fields == [entry("helm", "image", "args")]


def test_a_plan_that_is_undone_hands_back_what_it_took() -> None:
    stage = Stage(live_changes={"argument_owners": (owner("helm", "args"),)})
    for _ in range(4):
        stage.step()
    assert stage.status.phase is Phase.ROLLING_OUT
    assert stage.status.rollback is not None
    assert stage.status.rollback.owners == (owner("helm", "args"),)
    stage.live_changes = {"argument_owners": (owner("inferplan", "args"),)}
    stage.plan = plan_spec(Approval(approved=False, by="bob", plan_hash=HASH))
    steps = [stage.step() for _ in range(3)]
    assert steps[-1].status.phase is Phase.ROLLED_BACK
    assert steps[-1].act == HandBack("vllm", (owner("helm", "args"),))
