"""The operator's own metrics."""

from inferplan.api.plan import Phase
from inferplan.telemetry import Telemetry


def test_queries_are_counted_by_result_and_timed_by_source() -> None:
    telemetry = Telemetry()
    telemetry.observe_prometheus("team", "ok", 0.2, 3 * 1024**2)
    telemetry.observe_prometheus("team", "error", 10.0, 0)

    def value(name: str, **labels: str) -> float | None:
        return telemetry.registry.get_sample_value(name, labels)

    assert value("inferplan_prometheus_queries_total", result="ok") == 1
    assert value("inferplan_prometheus_queries_total", result="error") == 1
    assert value("inferplan_prometheus_query_seconds_sum", source="team") == 10.2
    assert value("inferplan_prometheus_response_bytes_count", source="team") == 1  # a failed query has no size
    assert value("inferplan_prometheus_response_bytes_bucket", source="team", le="4.194304e+06") == 1  # 3 of 4 MiB
    assert value("inferplan_prometheus_response_bytes_bucket", source="team", le="524288.0") == 0


def test_an_instance_counts_once_where_its_plan_is() -> None:
    telemetry = Telemetry()

    def value(phase: str) -> float | None:
        return telemetry.registry.get_sample_value("inferplan_current_plans", {"phase": phase})

    assert value("Failed") == 0
    telemetry.observe_plan(("a", "x"), "Proposed")
    telemetry.observe_plan(("b", "x"), "Proposed")
    assert value("Proposed") == 2
    telemetry.observe_plan(("a", "x"), "Failed")
    assert (value("Proposed"), value("Failed")) == (1, 1)
    telemetry.observe_plan(("a", "x"), None)
    telemetry.observe_plan(("a", "x"), None)
    assert (value("Proposed"), value("Failed")) == (1, 0)


def test_each_phase_has_its_series_before_a_plan_comes_into_it() -> None:
    registry = Telemetry().registry
    assert {registry.get_sample_value("inferplan_plan_transitions_total", {"phase": phase}) for phase in Phase} == {0.0}
