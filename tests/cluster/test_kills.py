"""The operator is killed at random moments of an application: a small version of benchmarks/kills."""

from pathlib import Path

from benchmarks.kills.sweep import REFUSES, Options, Sweep
from tests.support.ground import prepared
from tests.support.lab import Cluster

KILLS = 15


def test_no_kill_leaves_anything_half_done_done_twice_or_lost(control_plane: Cluster, tmp_path: Path) -> None:
    """Of plans that are undone at once: nothing of it waits for a window of measurements."""
    with prepared(control_plane, tmp_path / "ground", scraped=False) as ground:
        options = Options(kills=KILLS, seed=7, kinds=(REFUSES,) * 4, most_seconds=2.0)
        result = Sweep(ground, tmp_path, options, lambda _line: None).run()
    assert len(result.kills) == KILLS
    assert result.wrong == []
    assert {outcome.phase for outcome in result.outcomes} == {"RolledBack"}
