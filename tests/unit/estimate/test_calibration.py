"""What measured windows teach the step model, against answers that are known."""

import pytest

from inferplan.estimate.calibration import PRIOR, Calibration, Window, calibrate
from inferplan.estimate.speed_constants import Multipliers, Spread

LOADS = ((0.010, 0.001, 0.001, 0.05, 0.03), (0.010, 0.010, 0.020, 0.40, 0.05), (0.010, 0.030, 0.001, 0.10, 0.20))


def window(parts: tuple[float, float, float, float, float], times: Multipliers) -> Window:
    """A window of an instance whose parts really are scaled so."""
    fixed, growing, prompts, prefill, waiting = parts
    itl = fixed * times.fixed + growing * times.growing + prompts * times.prompts
    return Window(itl, prefill * times.prompts + waiting * times.waiting, parts)


def test_nothing_measured_teaches_nothing() -> None:
    assert calibrate([]) is None
    assert calibrate([Window(None, None, LOADS[0])]) is None


def test_a_model_that_is_right_stays_as_it_is() -> None:
    found = calibrate([window(parts, Multipliers()) for parts in LOADS])
    assert found is not None
    assert found.multipliers == Multipliers(*(pytest.approx(1.0) for _ in range(4)))


def test_one_window_fixes_the_scale() -> None:
    truth = Multipliers(1.2, 1.2, 1.2, 1.2)
    found = calibrate([window(LOADS[1], truth)])
    assert found is not None
    again = window(LOADS[1], found.multipliers)
    # 3 % of noise against a prior of 15 %: nearly all of the 20 % is believed.
    assert again.itl_seconds == pytest.approx(1.2 * 0.040, rel=0.02)


def test_several_loads_tell_the_parts_apart() -> None:
    truth = Multipliers(fixed=1.25, growing=0.85, prompts=1.1, waiting=1.5)
    found = calibrate([window(parts, truth) for parts in LOADS] * 4)
    assert found is not None
    assert found.multipliers.fixed == pytest.approx(1.25, rel=0.04)
    assert found.multipliers.growing == pytest.approx(0.85, rel=0.06)
    assert found.multipliers.waiting == pytest.approx(1.5, rel=0.10)


def test_absurd_windows_move_the_parts_by_what_the_prior_allows() -> None:
    found = calibrate([Window(1e3, 1e6, LOADS[0])])
    assert found is not None
    values = (found.multipliers.fixed, found.multipliers.growing, found.multipliers.prompts, found.multipliers.waiting)
    assert all(0.0 < value < float("inf") for value in values)


def test_a_measured_ttft_alone_leaves_decoding_as_it_is() -> None:
    found = calibrate([Window(None, 1.0, LOADS[1])])
    assert found is not None
    assert found.multipliers.fixed == pytest.approx(1.0)
    assert found.multipliers.waiting > 1.0


def test_more_windows_narrow_the_interval() -> None:
    base = Spread(0.8, 1.25)
    few, many = Calibration(Multipliers(), 1), Calibration(Multipliers(), 9)
    assert few.spread(base).low == pytest.approx(0.8)
    assert many.spread(base).low > few.spread(base).low
    assert many.spread(base).high < few.spread(base).high


def test_what_the_fit_leaves_widens_the_interval() -> None:
    base = Spread(0.95, 1.05)
    noisy = Calibration(Multipliers(), 4, {"itl": 0.2})
    assert noisy.spread(base, "itl").high > Calibration(Multipliers(), 4, {"itl": 0.0}).spread(base, "itl").high


def test_the_prior_has_a_width_for_every_part() -> None:
    assert len(PRIOR) == 4
    assert all(0 < width < 1 for width in PRIOR)
