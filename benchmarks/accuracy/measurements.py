"""The serving measurements as scripts/fit_speed.py fits to them: each asked the way a user asks."""

from pathlib import Path

from benchmarks.accuracy.documents import Configs, of_row
from benchmarks.accuracy.serving import Row, read_rows
from benchmarks.accuracy.situations import Situation, situation
from scripts.fit_speed import Measurement


def measurements(folder: Path) -> list[Measurement]:
    """All measurements of a data folder that the package has a question for."""
    configs = Configs(folder / "model_configs")
    rows = read_rows(folder / "serving_measurements.csv")
    found = [measurement(situation(of_row(row, configs)), row) for row in rows]
    return [one for one in found if one is not None]


def measurement(at: Situation, row: Row) -> Measurement | None:
    """A row with what the command would ask of it; None where it would not ask."""
    if at.asked is None:
        return None
    asked, load = at.asked
    return Measurement(
        situation=asked,
        load=load,
        ttft=row.ttft,
        tpot=row.tpot,
        model=row.model,
        gpu=row.gpu,
        marked=bool(row.marks),
        deployment=row.deployment,
    )
