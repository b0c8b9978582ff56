"""Replicas where a target is missed and no flag reaches it."""

from dataclasses import replace

import pytest
from tests.support.build import an, measured
from tests.support.levers import STILL, capped, caps, without_a_sized_cache

from inferplan.api.instance import SLO, SLOMetric
from inferplan.api.plan import Alternative
from inferplan.diagnose.bottlenecks import Cause, Diagnosis, diagnose
from inferplan.domain.lever import Lever
from inferplan.domain.observation import Observation
from inferplan.domain.owner import OwnedField, Owner
from inferplan.domain.proposal import Policy
from inferplan.engine.replicas import more_replicas
from inferplan.engine.search import search
from inferplan.estimate.forecast import Ratios

TTFT, ITL = an.slo(SLOMetric.TTFT, 95, 400), an.slo(SLOMetric.ITL, 95, 9)
HPA = Owner("A HorizontalPodAutoscaler", OwnedField.REPLICAS, reconciles=True, basis="managedFields: scale, x")


def seen(milliseconds: float = 5000.0, slo: SLO = TTFT, observation: Observation | None = None) -> Observation:
    """Behind the cap of 32 with 20 waiting, a target missed."""
    made = observation or capped(replicas=2)
    name = f"{slo.metric} p{slo.percentile}"
    return replace(made, metrics=replace(made.metrics, slo_milliseconds=((name, measured(name, milliseconds)),)))


def advised(
    observation: Observation, slo: SLO = TTFT, *levers: Lever, diagnosis: Diagnosis | None = None
) -> Alternative | None:
    policy, limits = Policy(slo=(slo,)), diagnosis or diagnose(observation)
    return more_replicas(observation, policy, limits, search(observation, limits, policy, levers))


def test_a_number_follows_from_the_forecast_under_less_load() -> None:
    entry = advised(seen())
    assert entry is not None
    assert entry.title == "More replicas"
    assert entry.description == (
        "ttft p95 is 5000 ms, target 400 ms, and no flag that was looked at reaches it. With 4 replicas instead of 2"
        " each has 50% of the load, and by the step model that holds; at the high end of its 80 % interval 4 do."
    )


def test_an_autoscaler_is_told_too() -> None:
    entry = advised(seen(observation=capped(replicas=2, owners=(HPA,))))
    assert entry is not None
    assert entry.description.endswith("what is written into spec.replicas is taken back.")


def test_what_is_not_sure_within_what_is_looked_at_is_told() -> None:
    entry = advised(seen(11.0, an.slo(SLOMetric.ITL, 50, 10)), an.slo(SLOMetric.ITL, 50, 10))
    assert entry is not None
    assert "With 6 replicas instead of 2 each has 33% of the load" in entry.description
    assert entry.description.endswith("at the high end of its 80 % interval 8 do not yet.")


def test_where_a_flag_reaches_the_target_or_it_holds_nothing_is_said() -> None:
    assert advised(seen(), TTFT, caps(64)) is None
    assert advised(seen(300.0)) is None
    assert advised(capped(replicas=2)) is None  # not measured


def test_replicas_that_do_not_help_are_not_advised() -> None:
    """A step alone takes longer than 1 ms."""
    slo = an.slo(SLOMetric.ITL, 50, 1)
    assert advised(seen(11.0, slo), slo) is None


def test_a_target_of_which_nothing_is_forecast_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferplan.engine.replicas.shared_load", lambda *_: Ratios(STILL, None, None))
    assert advised(seen()) is None


def test_of_overload_somebody_else_speaks() -> None:
    assert advised(seen(), diagnosis=Diagnosis(Cause.OVERLOAD)) is None


@pytest.mark.parametrize("observation", [capped(replicas=0), an.observation(replicas=2), without_a_sized_cache()])
def test_without_a_forecast_there_is_no_number(observation: Observation) -> None:
    made = seen(observation=observation)
    entry = advised(made)
    assert entry is not None
    assert entry.description.endswith(
        "Requests wait, and more replicas share them; how many it takes cannot be forecast."
    )
    idle = replace(diagnose(made), cause=Cause.NONE)
    assert advised(made, diagnosis=idle) is None
