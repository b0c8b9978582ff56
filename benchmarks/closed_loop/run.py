"""The closed loop: a badly set engine, InferPlan's plan, and what the plan really brings.

    PYTHONPATH=operator:lab:. .venv/bin/python benchmarks/closed_loop/run.py
    PYTHONPATH=operator:lab:. .venv/bin/python benchmarks/closed_loop/run.py --on cpu --vllm VENV --model FOLDER
    PYTHONPATH=operator:lab:. .venv/bin/python benchmarks/closed_loop/run.py --on gpu --vllm VENV --model FOLDER

Each case of simulator.yaml (or cpu.yaml, gpu.yaml) is served; pages are taken while the load is steady; `inferplan
plan` reads them with the case's InferenceInstance and Deployment; the plan's own server-side apply changes the
Deployment; that is served under the same load. --planner takes another source root of InferPlan, --case picks cases by
name, --controls also serves the setting that was found by hand, which proves the case and says what is to be had.
Results go to ../results/closed_loop_simulator.json (or _cpu, _gpu) and, from all that are there, to closed_loop.md.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.closed_loop.cases import Case, read_cases
from benchmarks.closed_loop.loop import Bench, Loop
from benchmarks.closed_loop.planner import Planner
from benchmarks.closed_loop.real import CPU, GPU, RealEngine
from benchmarks.closed_loop.report import report
from benchmarks.closed_loop.virtual import Simulator

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
KINDS = ("simulator", "cpu", "gpu")
HOSTS = {"cpu": CPU, "gpu": GPU}
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    cases = _picked(read_cases(options.on), options.case)
    work = options.work or Path(tempfile.mkdtemp(prefix="closed_loop_"))
    for folder in (work, options.results):
        folder.mkdir(parents=True, exist_ok=True)
    loop = Loop(_bench(options, work), Planner(options.planner, options.python), work, _say, options.controls)
    _say(f"objects, pages and plans go to {work}")
    path = options.results / f"closed_loop_{options.on}.json"
    earlier = _kept(path)
    rows = dict(earlier) if options.case else {}
    for case in cases:
        rows[case.name] = _with_control(loop.run(case), earlier.get(case.name, {}))
        _write(path, rows, options.on)
    documents = {kind: options.results / f"closed_loop_{kind}.json" for kind in KINDS}
    found = {kind: json.loads(file.read_text("utf-8")) for kind, file in documents.items() if file.is_file()}
    (options.results / "closed_loop.md").write_text(report(found), "utf-8")
    return 0 if all(_fine(rows[case.name]) for case in cases) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--on", choices=KINDS, default="simulator", help="which engine")
    parser.add_argument("--case", action="append", default=[], help="only this case; again for more")
    parser.add_argument("--controls", action="store_true", help="also run what each case says is better")
    parser.add_argument(
        "--planner", type=Path, default=ROOT / "operator", help="source root of the InferPlan that plans"
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter that it runs on")
    parser.add_argument("--vllm", type=Path, help="virtual environment with vLLM")
    parser.add_argument("--model", type=Path, help="folder of the model")
    parser.add_argument("--tries", type=int, default=3, help="runs of the real engine, until others leave it alone")
    parser.add_argument("--work", type=Path, help="folder for objects, pages and plans (default: a new one)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    return parser


def _bench(options: argparse.Namespace, work: Path) -> Bench:
    if options.on == "simulator":
        return Simulator(work)
    if options.vllm is None or options.model is None:
        raise SystemExit(f"run.py: --on {options.on} needs --vllm and --model")
    return RealEngine(options.vllm / "bin" / "vllm", options.model, work, HOSTS[options.on], options.tries)


def _picked(cases: Sequence[Case], names: Sequence[str]) -> Sequence[Case]:
    unknown = set(names) - {case.name for case in cases}
    if unknown:
        raise SystemExit(f"run.py: --case {', '.join(sorted(unknown))}: is none of {', '.join(c.name for c in cases)}")
    return [case for case in cases if not names or case.name in names]


def _kept(path: Path) -> dict[str, Row]:
    """Rows of an earlier run."""
    if not path.is_file():
        return {}
    return {row["case"]: row for row in json.loads(path.read_text("utf-8"))["cases"]}


def _with_control(row: Row, earlier: Row) -> Row:
    """The row with the control of an earlier run, where this one made none: controls do not depend on the planner."""
    return {"control": earlier["control"], **row} if "control" in earlier else row


def _write(path: Path, rows: dict[str, Row], kind: str) -> None:
    order = [case.name for case in read_cases(kind)]
    document = {"on": kind, "cases": [rows[name] for name in order if name in rows]}
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _fine(row: Row) -> bool:
    return bool(row["lever"]["right"]) and not row.get("harm")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
