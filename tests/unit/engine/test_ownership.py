"""What a plan says of those who keep the workload as it is."""

import pytest

from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effort,
    ImpactLevel,
    Optimization,
    OptimizationType,
    Source,
)
from inferplan.domain.owner import OwnedField, Owner
from inferplan.engine.ownership import with_owners

BASIS = "label instance"
ARGO = Owner("Argo CD", OwnedField.ALL, reconciles=True, basis=BASIS)
HELM = Owner("Helm", OwnedField.ALL, reconciles=False, basis=BASIS)
PERSON = Owner("kubectl-edit", OwnedField.ARGUMENTS, reconciles=False, basis=BASIS)
HPA = Owner("HorizontalPodAutoscaler", OwnedField.REPLICAS, reconciles=True, basis="HPA llama")


def planned(*prerequisites: str) -> Optimization:
    return Optimization(
        type=OptimizationType.BATCHING,
        title="Title",
        description="Description",
        config_changes=(ConfigChange(parameter="max_batch_size", recommended_value=64, reason="test"),),
        expected_impact=ImpactLevel.LOW,
        estimated_improvement="test",
        confidence=Confidence.LOW,
        source=Source.RULE_OF_THUMB,
        implementation_effort=Effort.LOW,
        prerequisites=prerequisites,
    )


@pytest.mark.parametrize(
    ("owner", "told"),
    [
        (
            ARGO,
            (
                "Argo CD keeps this workload as its source has it (label instance): make the change there; what is"
                " changed beside it is taken back."
            ),
        ),
        (
            HELM,
            "Helm wrote this (label instance): change its values too, or its next run undoes the change.",
        ),
        (
            PERSON,
            "The arguments were written with kubectl (label instance): a file that is applied again has to change too.",
        ),
    ],
)
def test_where_the_change_has_to_be_made_comes_first(owner: Owner, told: str) -> None:
    (made,) = with_owners((planned("Evaluate."),), (owner,))
    assert made.prerequisites == (told, "Evaluate.")


def test_who_keeps_what_a_plan_does_not_touch_is_not_named() -> None:
    (made,) = with_owners((planned(),), (HPA,))
    assert made.prerequisites == ()


def test_every_change_is_told_of_every_owner_as_far_as_a_plan_has_room() -> None:
    many = planned(*"abcdefgh")
    first, second = with_owners((many, planned()), (ARGO, HPA, HELM))
    assert [entry[:4] for entry in first.prerequisites] == ["Argo", "Helm", *"abcdef"]
    assert [entry[:4] for entry in second.prerequisites] == ["Argo", "Helm"]
