"""Whose a pod was, by its name: a workload's own ones, and none of a neighbour whose name begins the same."""

import pytest

from inferplan.observe.pod_names import deployment_of, stateful_set_of


@pytest.mark.parametrize(
    ("pod", "deployment"),
    [
        ("llama-7d9f5c8b6d-x2x9p", "llama"),
        ("llama-8b-7d9f5c8b6d-x2x9p", "llama-8b"),
        ("llama-7d9f5c8b-x2x9p", "llama"),  # eight digits of hash
        ("a.b-c-54d5f9d6c4-zzzzz", "a.b-c"),
        ("llama-bcdfghjk-7d9f5c8b6d-x2x9p", "llama-bcdfghjk"),  # a name that looks like a hash itself
        ("llama-7d9f5c8-x2x9p", None),  # seven digits: too short to be told from a name
        ("llama-7d9f5c8b6d-x2x9", None),
        ("llama-7d9f5c8b6d-x2x9pp", None),
        ("llama-7d9f5c8b6a-x2x9p", None),  # "a" is not of the alphabet
        ("llama-x2x9p", None),  # a pod of a bare ReplicaSet, or of a DaemonSet
        ("llama-8b", None),
        ("llama-0", None),
        ("-7d9f5c8b6d-x2x9p", None),
        ("llama-7d9f5c8b6d-x2x9p\n", None),
        ("", None),
    ],
)
def test_a_deployments_pod(pod: str, deployment: str | None) -> None:
    assert deployment_of(pod) == deployment


def test_a_long_name_is_cut_before_the_suffix() -> None:
    """58 letters of "<name>-<hash>-" are left: of 48 letters of name, the dash and 9 of the hash's 10."""
    name = "l" * 48
    pod = f"{name}-7d9f5c8b6d-"[:58] + "x2x9p"
    assert deployment_of(pod) == name
    assert deployment_of(pod[1:]) is None  # 62 letters: nothing was cut, so a dash is missing


def test_a_name_that_leaves_no_hash_is_nobodys() -> None:
    assert deployment_of(f"{'l' * 57}-7d9f5c8b6d-"[:58] + "x2x9p") is None


@pytest.mark.parametrize(
    ("pod", "name"),
    [
        ("llama-0", "llama"),
        ("llama-8-0", "llama-8"),
        ("llama-8b-12", "llama-8b"),
        ("llama-01", None),
        ("llama-8b", None),
        ("llama", None),
        ("-0", None),
        ("llama-0\n", None),
    ],
)
def test_a_stateful_sets_pod(pod: str, name: str | None) -> None:
    assert stateful_set_of(pod) == name
