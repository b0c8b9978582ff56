"""The operator's own metrics."""

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
