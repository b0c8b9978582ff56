"""Which cases are made of measured rows, and how intervals of ratios are scored."""

from dataclasses import replace

import pytest
from benchmarks.accuracy.serving import Row
from benchmarks.ratio_intervals.asked import ITL, THROUGHPUT, Case, answer, observed
from benchmarks.ratio_intervals.limits import SEVERAL, Run, cap_cases, format_cases, several_cases
from benchmarks.ratio_intervals.run import told_of
from benchmarks.ratio_intervals.scores import Told, bias, coverage, coverage_by_source, doubt_for, width
from tests.support.build import a

from inferplan.api.reasons import Reason
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import SettingValue
from inferplan.estimate.forecast import Ratios, Span
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput

H100 = from_catalogue("NVIDIA-H100-80GB-HBM3", 1)
ROW = Row("key", "m", "h100", 1, 1, 1, 1, "vllm", "0.33.0", "", "bf16", 1000, 200, 8, 100.0, 8.0, "", "source")


def run(concurrency: int = 8, ttft: float = 100.0, tpot: float = 8.0, **settings: SettingValue) -> Run:
    config = effective(a.config(tensor_parallel_size=1, max_model_len=8192, **settings), H100)
    row = replace(ROW, concurrency=concurrency, ttft=ttft, tpot=tpot)
    return Run(row, EstimateInput(config, H100, a.model()), Load(float(concurrency), None, 1000.0, 200.0))


def told(measured: float, source: str = "one") -> Told:
    return Told(source, measured, Span(0.9, 1.0, 1.2))


def test_a_cap_is_moved_both_ways_with_as_many_in_flight() -> None:
    up, down = cap_cases([run(8), run(16, tpot=10.0)])
    assert (up.category, up.load.concurrency, up.running) == ("max_num_seqs x 2 at most", 16.0, 8.0)
    assert (down.load.concurrency, down.running) == (16.0, 16.0)
    assert (up.before.config.integer("max_batch_size"), up.after.config.integer("max_batch_size")) == (8, 16)
    assert up.measured[ITL] == 1.25
    assert up.measured[THROUGHPUT] == pytest.approx(2 * (0.1 + 1.6) / (0.1 + 2.0))
    assert (up.windows[0].ttft_milliseconds, down.windows[0].ttft_milliseconds) == (None, 100.0)


def test_a_cap_that_ranks_do_not_share_evenly_is_left_out() -> None:
    assert list(cap_cases([run(7, data_parallel_size=2), run(16, data_parallel_size=2)])) == []


def test_several_windows_are_all_but_the_one_after() -> None:
    cases = list(several_cases([run(8), run(16), run(32), run(64)]))
    assert {case.category for case in cases} == {SEVERAL}
    assert [len(case.windows) for case in cases] == [3, 3, 3]
    assert all(case.after.config.integer("max_batch_size") not in _running(case) for case in cases)
    assert list(several_cases([run(8), run(16), run(32)])) == []


def _running(case: Case) -> set[float]:
    return {window.running for window in case.windows}


def test_formats_and_ranks_are_compared_one_at_a_time() -> None:
    plain = run()
    fp8 = replace(plain, row=replace(plain.row, precision="fp8"))
    wide = replace(fp8, row=replace(fp8.row, tensor_parallel=2))
    found = [case.category for case in format_cases([plain, fp8, wide])]
    assert found == ["quantization, bf16 to fp8", "tensor_parallel"]


def test_the_operator_would_have_seen_the_queue() -> None:
    up, _ = cap_cases([run(8), run(16)])
    seen = observed(up).metrics.measured()
    assert (seen["num_requests_running"].value, seen["num_requests_waiting"].value) == (8.0, 8.0)
    assert "requests_per_second" not in seen


def test_a_case_is_answered_by_the_calibrated_forecast() -> None:
    up, _ = cap_cases([run(8), run(16, tpot=9.0)])
    found = answer(up)
    assert isinstance(found.ratios, Ratios)
    (throughput,), (itl,) = told_of([found], THROUGHPUT), told_of([found], ITL)
    assert 1.5 < throughput.expected < 2.0
    assert 1.0 < itl.expected < 1.3
    silent = replace(found, ratios=Missing(Reason.MODEL_UNSUPPORTED, "not sized"))
    assert told_of([silent], ITL) == []


def test_an_interval_covers_what_lies_within() -> None:
    assert [told(ratio).covered() for ratio in (0.89, 0.91, 1.19, 1.21)] == [False, True, True, False]
    assert told(1.25).covered(doubt=0.2)
    assert coverage([told(1.0), told(1.0), told(2.0), told(0.5)]) == 0.5
    assert coverage_by_source([told(1.0), told(1.0), told(1.0), told(2.0, "other")]) == 0.5
    assert width([told(1.0)]) == pytest.approx(0.3)
    assert bias([told(1.0), told(1.1), told(1.3)]) == pytest.approx(0.1)


def test_the_doubt_that_covers_four_of_five() -> None:
    assert doubt_for([told(1.0)] * 4 + [told(9.0)]) == 0.0
    needed = doubt_for([told(1.0)] * 3 + [told(1.5), told(9.0)])
    assert needed is not None
    assert told(1.5).covered(needed)
    assert not told(1.5).covered(needed - 0.01)
    assert doubt_for([told(9.0)]) is None
