"""Serving measurements as what the speed model is fitted on: each asked as a user would ask."""

from pathlib import Path

from benchmarks.accuracy.documents import Configs, of_row
from benchmarks.accuracy.serving import Row, read_rows
from benchmarks.accuracy.situations import Situation, situation
from scripts.fit_speed import Measurement


def measurements(data: Path) -> list[Measurement]:
    """All rows that the command can put to the estimator of speed."""
    configs = Configs(data / "model_configs")
    rows = read_rows(data / "serving_measurements.csv")
    found = [measurement(situation(of_row(row, configs)), row) for row in rows]
    return [one for one in found if one is not None]


def measurement(at: Situation, row: Row) -> Measurement | None:
    """A row with what the command would ask of it; None where it would not ask."""
    if at.asked is None:
        return None
    return Measurement(*at.asked, row.ttft, row.tpot, row.model, row.gpu, bool(row.marks), row.deployment)
