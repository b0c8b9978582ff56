"""Pages of the real vLLM in known situations (tests/scrapes/README.md), analyzed as the command line does it.

Each window's cause and findings are held against the label, and the whole analysis against scrapes/<label>.yaml.
After a change that is meant: `pytest tests/scenarios/test_scrapes.py --update-goldens`, then read the diff.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import golden

from inferplan.api.analysis import Analysis
from inferplan.cli.documents import read_documents
from inferplan.cli.inputs import read_inputs
from inferplan.cli.measure import from_files
from inferplan.diagnose.analyze import analyze
from inferplan.observe.assemble import Sources, assemble

SCRAPES = Path(__file__).parents[1] / "scrapes"
GOLDENS = Path(__file__).parent / "scrapes"
LABELS = sorted(file.parent.name for file in SCRAPES.glob("*/expected.yaml"))
SAME = {"ReplicaImbalance": {"BadReplica", "UnbalancedLoad"}}
"""Names in the labels that stand for one of several findings."""


def windows(label: str) -> list[dict[str, Any]]:
    document = yaml.safe_load((SCRAPES / label / "expected.yaml").read_text("utf-8"))
    return list(document["windows"])


def files(folder: Path, pages: Any) -> Iterator[str]:
    """Pages as --metrics takes them."""
    if isinstance(pages, Mapping):
        yield from (f"{name}={folder / page}" for name, own in pages.items() for page in own)
    else:
        yield from (str(folder / page) for page in pages)


def analysis(label: str, pages: Any) -> Analysis:
    folder = SCRAPES / label
    names = [folder / name for name in ("instance.yaml", "deployment.yaml")]
    inputs = read_inputs(read_documents([str(name) for name in names if name.exists()]), lambda _text: None)
    container = inputs.workload.container if inputs.workload is not None else None
    seen = assemble(Sources(inputs.spec, container, model_config=inputs.model_config)).observation
    measured, _ = from_files(inputs, seen.config, list(files(folder, pages)), None)
    observation = replace(seen, metrics=measured.metrics, replica_metrics=measured.replica_metrics)
    return analyze(observation, inputs.spec.slo)


def found_in(seen: Analysis) -> set[str]:
    """Findings, and what is named as not known."""
    return {entry.type for entry in seen.bottlenecks} | {entry.code for entry in seen.unknowns}


@pytest.mark.parametrize("label", LABELS)
def test_the_cause_is_that_of_the_label(label: str) -> None:
    for window in windows(label):
        seen = analysis(label, window["pages"])
        assert seen.cause in {window["cause"], *window.get("alsoRight", ())}, (window["pages"], seen)


@pytest.mark.parametrize("label", LABELS)
def test_the_findings_are_those_of_the_label(label: str) -> None:
    for window in windows(label):
        seen = analysis(label, window["pages"])
        found = found_in(seen)
        wanted = {name: SAME.get(name, {name}) for name in window.get("mustFind", ())}
        assert [name for name, names in wanted.items() if not names & found] == [], (window["pages"], seen)
        excluded = {name: SAME.get(name, {name}) for name in window.get("mustNotFind", ())}
        assert [name for name, names in excluded.items() if names & found] == [], (window["pages"], seen)


@pytest.mark.parametrize("label", LABELS)
def test_the_whole_analysis_is_as_it_was(label: str, update_goldens: bool) -> None:
    seen = [{"pages": window["pages"], **analysis(label, window["pages"]).to_kube()} for window in windows(label)]
    golden.check(GOLDENS / f"{label}.yaml", seen, update=update_goldens)
