"""Kills the operator while it applies plans: PYTHONPATH=operator:lab:. .venv/bin/python benchmarks/kills/run.py.

    --kills 200 --seed 1 --out benchmarks/results/kills.json

Half an hour on two cores. Exit code 1 where something was wrong.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.kills.sweep import BETTER, REFUSES, WORSE, Options, Sweep
from tests.support.ground import prepared
from tests.support.lab import local_cluster

WAVE = (BETTER,) * 5 + (WORSE,) * 3 + (REFUSES,) * 2


def main() -> int:
    options = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    began = time.monotonic()
    with local_cluster(folder) as cluster, prepared(cluster, folder / "ground", scraped=False) as ground:
        wanted = Options(options.kills, options.seed, WAVE)
        result = Sweep(ground, folder, wanted, lambda line: print(line, flush=True)).run()
    command = f"benchmarks/kills/run.py --kills {options.kills} --seed {options.seed}"
    document = {"command": command, "minutes": round((time.monotonic() - began) / 60.0, 1), **result.document()}
    options.out.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    print(f"{len(result.kills)} kills, {len(result.outcomes)} workloads, {len(result.wrong)} wrong: {options.out}")
    return 1 if result.wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/kills.json"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
