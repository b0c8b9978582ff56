"""Serving measurements as what the speed model is fitted on: each asked as a user would ask."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.accuracy.documents import Configs, of_row
from benchmarks.accuracy.serving import read_rows
from benchmarks.accuracy.situations import situation
from scripts.fit_speed import Measurement


def measurements(data: Path) -> list[Measurement]:
    """All rows that the command can put to the estimator of speed."""
    return list(_measurements(data))


def _measurements(data: Path) -> Iterator[Measurement]:
    configs = Configs(data / "model_configs")
    for row in read_rows(data / "serving_measurements.csv"):
        asked = situation(of_row(row, configs)).asked
        if asked is not None:
            yield Measurement(*asked, row.ttft, row.tpot, row.model, row.gpu, bool(row.marks), row.deployment)
