"""What has served for a day is calibrated at its first look; looks after it write nothing for the same hours."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.support.build import a, an

from inferplan.api.conditions import Status
from inferplan.api.instance_status import CalibrationStatus
from inferplan.api.reasons import Reason
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import NO_HISTORY, History, HourlyWindow, Metrics
from inferplan.observe.assemble import Assembled
from inferplan.observe.gather import Gathered
from inferplan.observe.reduce import Measurements
from inferplan.observe.target import Workload
from inferplan.reconcile.calibrating import calibration_status
from inferplan.reconcile.instance import Instance, Key
from inferplan.reconcile.look import Finding, Look

NOW = "2026-11-27T00:05:00Z"
MIDNIGHT = 1_795_737_600.0  # 2026-11-27T00:00:00Z
RUNS = a.config(max_num_batched_tokens=8192, max_batch_size=256, tensor_parallel_size=1)
H100 = from_catalogue("NVIDIA-H100-80GB-HBM3", 1)
FOUND = Finding(Status.TRUE, Reason.TARGET_FOUND, "")


def hour(ago: int, running: float, *, same: bool = True, **changes: float) -> HourlyWindow:
    seen = {"num_requests_waiting": 0.0, "prompt_tokens_mean": 1_000.0, "generation_tokens_mean": 200.0}
    latency = {"itl_mean_milliseconds": 8.0 + running / 8.0, "ttft_mean_milliseconds": 60.0 + running}
    return HourlyWindow(MIDNIGHT - 3_600.0 * ago, same, running, **(seen | latency | changes))


DAY = tuple(hour(ago, running=2.0 + 1.5 * ago) for ago in range(23, -1, -1))


def learned(
    windows: tuple[HourlyWindow, ...] | None, stored: Mapping[str, Any] | None = None, metrics: Metrics | None = None
) -> CalibrationStatus | None:
    """The calibration after a look whose own window says nothing, unless metrics are given."""
    history: History | Missing = NO_HISTORY if windows is None else History((), windows, None, "queries")
    observation = an.observation(
        config=RUNS,
        accelerator=H100,
        metrics=metrics or Metrics(uptime_seconds=Missing(Reason.IDLE, "")),
        history=history,
    )
    workload = Workload("Deployment", "llama", 1, a.container(), "")
    seen = Gathered(Assembled(observation), Measurements(observation.metrics, None), workload, (), (), None)
    status = {} if stored is None else {"calibration": stored}
    instance = Instance(Key("serving", "llama"), "uid", 1, a.instance(), status)
    return calibration_status(Look(instance, FOUND, FOUND, gathered=seen), NOW)


def first(windows: tuple[HourlyWindow, ...]) -> dict[str, Any]:
    found = learned(windows)
    assert found is not None
    return found.to_kube()


def test_a_day_of_service_calibrates_the_first_look() -> None:
    found = learned(DAY)
    assert found is not None
    # Of 2, 3.5, 5 … 36.5, the newest hour first, those that are more than a quarter off all that are taken before.
    assert [point.running for point in found.points] == [29.0, 21.5, 15.5, 11.0, 8.0, 5.0, 3.5, 2.0]
    assert found.samples == 8
    assert found.points[-1].observed_at == "2026-11-27T00:00:00Z"


def test_a_second_look_writes_nothing() -> None:
    stored = first(DAY)
    again = learned(DAY, stored)
    assert again is not None
    assert again.to_kube() == stored


def test_an_hour_of_a_known_load_writes_nothing() -> None:
    stored = first(DAY)
    later = replace(hour(0, running=2.2, itl_mean_milliseconds=8.9), ended_at=MIDNIGHT + 3_600.0)
    again = learned((*DAY[1:], later), stored)
    assert again is not None
    assert again.to_kube() == stored


def test_hours_of_other_pods_teach_nothing() -> None:
    assert learned(tuple(replace(window, same_pods=False) for window in DAY)) is None


def test_without_past_hours_what_was_learned_stays() -> None:
    stored = first(DAY)
    again = learned(None, stored)
    assert again is not None
    assert again.to_kube() == stored


def test_numbers_that_the_status_cannot_hold_are_left_out() -> None:
    odd = (hour(1, 2e6), hour(2, 4.0, itl_mean_milliseconds=0.0), hour(3, 8.0, prompt_tokens_mean=1e12))
    found = learned((*odd, hour(0, 16.0)))
    assert found is not None
    assert [(point.running, point.itl_milliseconds) for point in found.points] == [(4.0, None), (16.0, 10.0)]
