"""The load that an estimate is for."""

import argparse
import math
from typing import Any

import pytest

from inferplan.api.instance import WorkloadSpec
from inferplan.api.reasons import Reason
from inferplan.cli.estimate_load import Flags, load_of, whole_number
from inferplan.domain.measurement import Missing
from inferplan.estimate.load import Load
from inferplan.estimate.result import Interval

NO_FLAGS = Flags()


def spec(**fields: Any) -> WorkloadSpec:
    return WorkloadSpec(**fields)


@pytest.mark.parametrize(
    ("workload", "flags", "lacking"),
    [
        (None, NO_FLAGS, "no load is stated"),
        (spec(input_tokens=10), NO_FLAGS, "lacks spec.workload.concurrency (--batch) or .requestsPerSecond, "),
        (spec(concurrency=1, input_tokens=10), NO_FLAGS, "lacks spec.workload.outputTokens (--output)"),
        (None, Flags(batch=1, output_tokens=3), "lacks spec.workload.inputTokens (--input)"),
        (spec(requests_per_second=0.0, input_tokens=1, output_tokens=1), NO_FLAGS, "requestsPerSecond is 0"),
    ],
)
def test_a_load_that_lacks_something_says_what(workload: WorkloadSpec | None, flags: Flags, lacking: str) -> None:
    found = load_of(workload, flags, 1).load
    assert isinstance(found, Missing)
    assert found.code is Reason.LOAD_UNKNOWN
    assert lacking in found.reason


def test_flags_fill_what_the_workload_leaves_open() -> None:
    found = load_of(spec(input_tokens=10, prefix_share=0.25), Flags(batch=4, output_tokens=5), None)
    assert found.load == Load(4, None, 10, 5, 0.25)
    assert (found.assumptions, found.notes) == ((), ())


def test_a_rate_is_that_of_all_replicas() -> None:
    found = load_of(spec(requests_per_second=6.0, input_tokens=10, output_tokens=5), NO_FLAGS, 3)
    assert found.load == Load(None, 2.0, 10, 5)  # 6 over 3 replicas


def test_without_a_workload_one_replica_is_assumed_to_serve_everything() -> None:
    found = load_of(spec(requests_per_second=6.0, input_tokens=10, output_tokens=5), NO_FLAGS, None)
    assert found.load == Load(None, 6.0, 10, 5)
    assert found.assumptions == ("one replica serves all of spec.workload.requestsPerSecond",)


def test_concurrency_wins_over_a_rate_and_says_so() -> None:
    both = spec(requests_per_second=6.0, concurrency=8, input_tokens=10, output_tokens=5)
    assert load_of(both, NO_FLAGS, 1).load == Load(8, None, 10, 5)
    assert load_of(both, NO_FLAGS, 1).notes[0].startswith("spec.workload.concurrency fixes the load")
    assert load_of(both, Flags(batch=2), 1).notes[0].startswith("--batch fixes the load")


def test_a_rate_too_small_to_be_shared_is_no_load() -> None:
    found = load_of(spec(requests_per_second=5e-324, input_tokens=10, output_tokens=5), NO_FLAGS, 4).load
    assert isinstance(found, Missing)
    assert found.reason.startswith("spec.workload: requests_per_second must be a number above 0")


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "1e3", "²", "11", "9" * 5000])
def test_a_flags_value_is_a_whole_number_in_its_range(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"must be a whole number from 1 to 10$"):
        whole_number(10)(text)


def test_a_flags_value_is_read() -> None:
    assert [whole_number(10)(text) for text in ("1", "10", "07")] == [1, 10, 7]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e9])
@pytest.mark.parametrize("field", ["concurrency", "requests_per_second", "input_tokens", "output_tokens"])
def test_a_load_refuses_what_is_no_number_of_requests_or_tokens(field: str, value: float) -> None:
    fields: dict[str, Any] = {"concurrency": 1.0, "requests_per_second": None, "input_tokens": 1, "output_tokens": 1}
    if field == "requests_per_second":
        fields["concurrency"] = None
    with pytest.raises(ValueError, match=f"^{field} must be a number above 0"):
        Load(**{**fields, field: value})


@pytest.mark.parametrize("share", [math.nan, -0.1, 1.1])
def test_a_load_refuses_a_share_that_is_none(share: float) -> None:
    with pytest.raises(ValueError, match="prefix_share must be a number from 0 to 1"):
        Load(1, None, 1, 1, share)


@pytest.mark.parametrize("both", [(None, None), (1.0, 1.0)])
def test_a_load_is_either_closed_or_open(both: tuple[float | None, float | None]) -> None:
    with pytest.raises(ValueError, match="give one of concurrency and requests_per_second"):
        Load(*both, 1, 1)


@pytest.mark.parametrize(
    "values", [(1, 0.5, 2), (1, 3, 2), (-1, 0, 1), (math.nan, 1, 2), (1, math.nan, 2), (1, 2, math.inf)]
)
def test_an_interval_is_in_order_and_finite(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="is no interval"):
        Interval(*values)
