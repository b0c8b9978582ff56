"""How many requests came, by what finished and by what is in flight."""

from typing import Any

import pytest
from tests.support.readings import a_replica, readings

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import Metrics
from inferplan.domain.readings import ReplicaReadings
from inferplan.observe.exposition import parse_scrape, readings_of
from inferplan.observe.metric_names import metric_names
from inferplan.observe.reduce import reduce

NAMES = metric_names(Engine.VLLM, "0.33.0")
ALONE = "vllm:request_success_total (finished requests alone: by how much those in flight became more is not known)"


def metrics(*replicas: ReplicaReadings) -> Metrics:
    return reduce(readings(*replicas), NAMES, ()).metrics


def measured(found: Measurement) -> Measured:
    assert isinstance(found, Measured), found
    return found


def test_what_came_is_what_finished_and_what_became_more_of_those_in_flight() -> None:
    found = metrics(a_replica(growth=450.0))  # 4 a second finished for 900 s
    assert measured(found.arrivals_per_second).value == 4.5
    assert measured(found.requests_per_second).value == 4.0
    told = measured(found.arrivals_per_second)
    assert told.source == (
        "vllm:request_success_total + growth of vllm:num_requests_running and vllm:num_requests_waiting"
    )
    assert (told.unit, told.window_seconds) == ("requests/s", 900)
    drained = metrics(a_replica(growth=-900.0))
    assert measured(drained.arrivals_per_second).value == 3.0


def test_it_is_the_mean_of_the_replicas_each_over_its_own_time() -> None:
    young = a_replica("p-2", seconds=90.0, growth=90.0, rates={"requests": 2.0})
    assert measured(metrics(a_replica(growth=0.0), young).arrivals_per_second).value == 3.5  # 4 and 2 + 1


@pytest.mark.parametrize(
    "changes",
    [{"growth": None}, {"growth": 450.0, "restarts": 1}, {"growth": 450.0, "impossible": {"waiting": -1.0}}],
)
def test_where_growth_is_not_known_what_finished_stands_alone_and_says_so(changes: dict[str, Any]) -> None:
    found = measured(metrics(a_replica(growth=9.0), a_replica("p-2", **changes)).arrivals_per_second)
    assert (found.value, found.source) == (4.0, ALONE)


def test_a_number_that_cannot_be_is_not_made_to_fit() -> None:
    found = metrics(a_replica(growth=-3601.0)).arrivals_per_second  # more left than finished
    assert isinstance(found, Missing)
    assert found.code is Reason.METRICS_CONTRADICTORY
    assert "is -0.00111111, which is no measured value" in found.reason


def test_what_did_not_finish_is_not_known_to_have_come() -> None:
    found = metrics(a_replica(growth=9.0, rates={"requests": None}, splits={"requests": None}))
    assert found.arrivals_per_second == found.requests_per_second
    assert isinstance(found.arrivals_per_second, Missing)


def page(running: int, waiting: int | None, finished: int, at: str = "") -> str:
    second = f"vllm:num_requests_waiting {waiting}\n" if waiting is not None else ""
    return (
        f'{at}vllm:num_requests_running{{engine="0"}} {running}\nvllm:num_requests_running{{engine="1"}} {running}\n'
        f"{second}vllm:request_success_total {finished}\nprocess_start_time_seconds 1000\n"
    )


@pytest.mark.parametrize(
    ("texts", "growth"),
    [
        ((page(4, 0, 100), page(9, 9, 120), page(5, 7, 140)), 9.0),  # 17 in the end, 8 at first
        ((page(4, None, 100), page(5, 7, 140)), None),
        ((page(4, 2, 100), page(5, None, 140)), None),
        ((page(4, 2, 100),), None),
        ((page(4, 2, 100, "# scraped-at: 1970-01-01T00:20:00Z\n"),), 10.0),  # nothing was there when it started
    ],
)
def test_pages_tell_growth_by_the_first_and_the_last(texts: tuple[str, ...], growth: float | None) -> None:
    pages = tuple(map(parse_scrape, texts))
    (found,) = readings_of(Engine.VLLM, {"p": pages}, 50.0 if len(pages) > 1 else None).replicas
    assert found.growth == growth
