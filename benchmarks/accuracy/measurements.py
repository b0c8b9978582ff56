"""Serving measurements as what the speed model is fitted on: each asked as a user would ask."""

from pathlib import Path

from benchmarks.accuracy.documents import Configs, of_row
from benchmarks.accuracy.elsewhere import Point, read_points
from benchmarks.accuracy.serving import Row, read_rows
from benchmarks.accuracy.situations import Situation, situation
from scripts.fit_speed import Measurement

_FITTED = {
    # Sources of throughputs whose load and setting are told well enough to fit on; of Qwen's page the A100 only: what
    # it has of one sequence on an H20 is a third of what AccelMark measured on that GPU. Left out are MI300X bars read
    # by eye (vLLM's blog), an A100 whose runs differ by half at one setting (dennislee22), and a T4 whose cache is
    # full (wang-junjian).
    "accelmark": None,
    "krlab-qwen3-14b": None,
    "nebius-llm-essentials": None,
    "dstack-mi300x-405b": None,
    "qwen-speed-benchmark": "A100",
}


def measurements(data: Path) -> list[Measurement]:
    """All rows that the command can put to the estimator of speed, and throughputs on other GPUs."""
    configs = Configs(data / "model_configs")
    rows = read_rows(data / "serving_measurements.csv")
    found = [measurement(situation(of_row(row, configs)), row) for row in rows]
    points = read_points(data / "improvement_pairs.json", configs)
    others = [throughput(situation(point.document), point) for point in points if point.quantity == "tokens"]
    return [one for one in (*found, *others) if one is not None]


def throughput(at: Situation, point: Point) -> Measurement | None:
    """A throughput of a closed loop; None for what is not fitted on, and for requests that come at a rate."""
    if at.asked is None or at.asked[1].concurrency is None or point.source not in _FITTED:
        return None
    if _FITTED[point.source] not in {None, point.gpu}:
        return None
    model = str(point.document["spec"].get("model", {}).get("id", ""))
    return Measurement(*at.asked, None, None, model, f"{point.gpu} of {point.source}", tokens=point.measured)


def measurement(at: Situation, row: Row) -> Measurement | None:
    """A row with what the command would ask of it; None where it would not ask."""
    if at.asked is None:
        return None
    return Measurement(*at.asked, row.ttft, row.tpot, row.model, row.gpu, bool(row.marks), row.deployment)
