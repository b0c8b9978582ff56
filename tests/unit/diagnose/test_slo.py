"""Targets against measurements."""

from tests.support.build import an, measured

from inferplan.api.instance import SLOMetric
from inferplan.diagnose.slo import slo_name, slo_states
from inferplan.domain.observation import Metrics


def test_a_target_holds_up_to_its_value() -> None:
    slos = tuple(an.slo(SLOMetric.TTFT, 95, target) for target in (812, 811))
    states = slo_states(slos, Metrics(slo_milliseconds=(("ttft p95", measured("ttft", 812)),)))
    assert [state.met for state in states] == [True, False]
    assert states[1].sentence == "ttft p95 is 812 ms, target 811 ms"


def test_a_target_that_is_not_measured_is_not_known() -> None:
    (state,) = slo_states((an.slo(),), Metrics())
    assert state.met is None
    assert state.sentence == "itl p95: not measured"
    assert slo_name(state.slo) == "itl p95"
