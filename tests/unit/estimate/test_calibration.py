"""What measured windows teach the step model, against answers that are known."""

from collections.abc import Sequence
from math import hypot, sqrt

import numpy as np
import pytest

from inferplan.estimate.calibration import PRIOR, PRIOR_AXES, Axis, Calibration, Window, calibrate
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


def axes(windows: Sequence[Window]) -> tuple[Axis, ...]:
    found = calibrate(windows)
    assert found is not None
    return found.axes


def uncertainty(of: Sequence[Axis], direction: Axis) -> float:
    """Standard deviation along a direction in the logarithms of the multipliers."""
    return sqrt(sum(float(np.dot(axis, direction)) ** 2 for axis in of))


def test_before_any_window_each_part_is_as_uncertain_as_its_prior() -> None:
    units: list[Axis] = [(1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)]
    assert [uncertainty(PRIOR_AXES, unit) for unit in units] == list(PRIOR)


def test_one_part_alone_is_known_as_well_as_noise_and_prior_allow() -> None:
    """3 % of noise and a prior of 15 %: 1 / sqrt(1 / 0.03^2 + 1 / 0.15^2) = 0.0294."""
    found = axes([Window(0.012, None, (0.010, 0.0, 0.0, 0.0, 0.0))])
    assert uncertainty(found, (1.0, 0.0, 0.0, 0.0)) == pytest.approx(1 / hypot(1 / 0.03, 1 / 0.15))
    assert uncertainty(found, (0.0, 1.0, 0.0, 0.0)) == pytest.approx(0.15)
    assert uncertainty(found, (0.0, 0.0, 0.0, 1.0)) == pytest.approx(0.60)


def test_one_window_knows_the_sum_and_not_the_parts() -> None:
    """Half of the ITL fixed, half growing: how the halves share it stays as uncertain as it was."""
    found = axes([Window(0.020, None, (0.010, 0.010, 0.0, 0.0, 0.0))])
    assert uncertainty(found, (0.5, 0.5, 0.0, 0.0)) < 0.03
    assert uncertainty(found, (0.5, -0.5, 0.0, 0.0)) == pytest.approx(uncertainty(PRIOR_AXES, (0.5, -0.5, 0.0, 0.0)))


def test_windows_at_several_loads_leave_less_uncertain_everywhere() -> None:
    few, many = (axes([window(parts, Multipliers()) for parts in LOADS[:count]]) for count in (1, 3))
    directions: list[Axis] = [(1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (1.0, -1.0, 0.0, 0.0)]
    assert all(uncertainty(many, one) < uncertainty(few, one) for one in directions)


def test_an_older_window_says_less() -> None:
    new, old = (axes([Window(0.012, None, (0.010, 0.0, 0.0, 0.0, 0.0), weight)]) for weight in (1.0, 0.25))
    assert uncertainty(old, (1.0, 0.0, 0.0, 0.0)) == pytest.approx(1 / hypot(1 / 0.06, 1 / 0.15))
    assert uncertainty(old, (1.0, 0.0, 0.0, 0.0)) > uncertainty(new, (1.0, 0.0, 0.0, 0.0))
