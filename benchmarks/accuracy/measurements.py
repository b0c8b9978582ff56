"""Serving measurements as what the speed model is fitted on: each asked as a user would ask."""

from pathlib import Path

from benchmarks.accuracy.documents import Configs, of_row
from benchmarks.accuracy.elsewhere import Point, read_points
from benchmarks.accuracy.serving import Row, read_rows
from benchmarks.accuracy.situations import Situation, situation
from scripts.fit_speed import Measurement


def measurements(data: Path) -> list[Measurement]:
    """All rows that the command can put to the estimator of speed, and throughputs on other GPUs."""
    configs = Configs(data / "model_configs")
    rows = read_rows(data / "serving_measurements.csv")
    found = [measurement(situation(of_row(row, configs)), row) for row in rows]
    points = read_points(data / "improvement_pairs.json", configs)
    others = [throughput(situation(point.document), point) for point in points if point.quantity == "tokens"]
    return [one for one in (*found, *others) if one is not None]


def throughput(at: Situation, point: Point) -> Measurement | None:
    """A throughput of a closed loop; None for what the command would not ask, and for requests that come at a rate."""
    if at.asked is None or at.asked[1].concurrency is None:
        return None
    model = str(point.document["spec"].get("model", {}).get("id", ""))
    return Measurement(*at.asked, None, None, model, f"{point.gpu} of {point.source}", tokens=point.measured)


def measurement(at: Situation, row: Row) -> Measurement | None:
    """A row with what the command would ask of it; None where it would not ask."""
    if at.asked is None:
        return None
    return Measurement(*at.asked, row.ttft, row.tpot, row.model, row.gpu, bool(row.marks), row.deployment)
