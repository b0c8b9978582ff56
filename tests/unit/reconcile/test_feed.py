"""What enters the queue, and what does not."""

from typing import Any

from inferplan.reconcile.feed import Feed, Target
from inferplan.reconcile.instance import Key

A, B = Key("ns", "a"), Key("ns", "b")
TARGET = Target("ns", "Deployment", "d")


def instance(key: Key = A, generation: int = 1, uid: str = "u") -> dict[str, Any]:
    return {"metadata": {"namespace": key.namespace, "name": key.name, "uid": uid, "generation": generation}}


def workload(image: str = "x", **more: Any) -> dict[str, Any]:
    meta = {"namespace": TARGET.namespace, "name": TARGET.name}
    return {"metadata": meta, "spec": {"template": {"image": image}, **more}}


def feed() -> tuple[Feed, list[Key]]:
    keys: list[Key] = []
    return Feed(keys.append), keys


def test_an_instance_enters_once_for_each_generation() -> None:
    fed, keys = feed()
    for generation in (1, 1, 2, 2):
        fed.instance("MODIFIED", instance(generation=generation))
    assert keys == [A, A]


def test_a_recreated_instance_enters_again() -> None:
    fed, keys = feed()
    fed.instance(None, instance())
    fed.instance("DELETED", instance())
    fed.instance("ADDED", instance())
    fed.instance("MODIFIED", instance(uid="other"))
    assert keys == [A] * 4


def test_a_template_change_enters_every_instance_that_refers_to_the_workload() -> None:
    fed, keys = feed()
    fed.refer(A, TARGET)
    fed.refer(B, TARGET)
    fed.workload("ADDED", "Deployment", workload())
    assert keys == [A, B]
    fed.workload("MODIFIED", "Deployment", workload("y"))
    assert keys == [A, B] * 2


def test_scaling_and_status_of_a_workload_do_not_enter() -> None:
    fed, keys = feed()
    fed.refer(A, TARGET)
    fed.workload("ADDED", "Deployment", workload())
    fed.workload("MODIFIED", "Deployment", workload(replicas=7))
    assert keys == [A]


def test_a_deleted_workload_enters() -> None:
    fed, keys = feed()
    fed.refer(A, TARGET)
    fed.workload("ADDED", "Deployment", workload())
    fed.workload("DELETED", "Deployment", workload())
    assert keys == [A, A]


def test_a_workload_that_nobody_refers_to_is_ignored() -> None:
    fed, keys = feed()
    fed.refer(A, TARGET)
    fed.workload("ADDED", "StatefulSet", workload())
    fed.refer(A, None)
    fed.workload("ADDED", "Deployment", workload())
    fed.refer(A, TARGET)
    fed.forget(A)
    fed.workload("ADDED", "Deployment", workload())
    assert keys == []


def test_a_plans_deletion_and_a_persons_word_enter_its_instance() -> None:
    fed, keys = feed()
    owner = {"apiVersion": "inferplan.dev/v1alpha1", "kind": "InferenceInstance", "name": "a"}
    foreign = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    meta = {"namespace": "ns", "name": "p", "uid": "u", "ownerReferences": [foreign, owner]}
    fed.plan("ADDED", {"metadata": {**meta, "generation": 1}})
    fed.plan("MODIFIED", {"metadata": {**meta, "generation": 1}})  # its status
    assert keys == []
    fed.plan("MODIFIED", {"metadata": {**meta, "generation": 2}})
    fed.plan("MODIFIED", {"metadata": {**meta, "generation": 2}})
    assert keys == [A]
    fed.plan("DELETED", {"metadata": meta})
    assert keys == [A, A]


def test_instances_that_share_a_workload_know_of_each_other() -> None:
    fed, _ = feed()
    fed.refer(A, TARGET)
    assert fed.sharing(A) == ()
    fed.refer(B, TARGET, "vllm")
    assert (fed.sharing(A), fed.sharing(B)) == ((B,), (A,))
    fed.refer(A, TARGET, "other")
    assert (fed.sharing(A), fed.sharing(B)) == ((), ())
    fed.refer(A, TARGET, "vllm")
    assert fed.sharing(B) == (A,)
    fed.forget(A)
    assert (fed.sharing(A), fed.sharing(B)) == ((), ())
