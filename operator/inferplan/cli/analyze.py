"""`inferplan analyze`: what limits an instance and whether its targets hold, from files."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import yaml

from inferplan.api.analysis import Analysis, Severity
from inferplan.cli.analysis_table import analysis_table
from inferplan.cli.observe import Seen, add_sources, observe, target_of
from inferplan.cli.output import write
from inferplan.cli.parsers import command_parser
from inferplan.cli.render import Heading, facts_of
from inferplan.diagnose.analyze import analyze

_DESCRIPTION = """\
Says from files what limits an instance, with the numbers that show it; whether its latency targets hold; how healthy
it is, with the derivation; what to do; and what cannot be told, and why. Nothing is proposed: that is `plan`.
The files are those of `inferplan plan`: one InferenceInstance, and what belongs to it."""
_EXAMPLE = """\
inferplan analyze -f instance.yaml -f deployment.yaml --metrics first.txt --metrics second.txt

exit codes: 0 fine, 1 findings (with --fail-on), 2 bad input"""
_SLO = "slo"
_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


def run(words: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    options = _parser().parse_args(words)
    seen = observe("analyze", options)
    analysis = analyze(seen.observation, seen.inputs.spec.slo)
    write(_printed(seen, analysis, options.output))
    return 1 if any(_is_finding(analysis, level) for level in options.fail_on) else 0


def _printed(seen: Seen, analysis: Analysis, output: str) -> str:
    match output:
        case "json":
            return json.dumps(_document(seen, analysis), indent=2, ensure_ascii=False) + "\n"
        case "yaml":
            text: str = yaml.safe_dump(_document(seen, analysis), sort_keys=False, allow_unicode=True, width=110)
            return text
        case _:
            instance = f"{seen.inputs.namespace}/{seen.inputs.name}"
            facts = facts_of(seen.observation, target_of(seen.inputs))
            heading = Heading(instance, (*facts, ("observed", seen.observed_at)))
            return analysis_table(analysis, heading, seen.observation)


def _document(seen: Seen, analysis: Analysis) -> dict[str, Any]:
    """As the instance's status holds it, with the measurements beside it."""
    measured = seen.observation.metrics.measured()
    return {
        "instance": {"namespace": seen.inputs.namespace, "name": seen.inputs.name},
        "observedAt": seen.observed_at,
        **analysis.to_kube(),
        "metrics": {name: entry.as_value().to_kube() for name, entry in measured.items()},
        "replicas": [entry.to_kube() for entry in seen.observation.side_by_side()],
    }


def _is_finding(analysis: Analysis, level: str) -> bool:
    if level == _SLO:
        return any(status.is_compliant is False for status in analysis.slo_statuses)
    least = _RANKS[Severity(level)]
    return any(_RANKS[found.severity] >= least for found in analysis.bottlenecks)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("analyze", _DESCRIPTION, _EXAMPLE)
    add_sources(parser)
    parser.add_argument(
        "-o", "--output", choices=("table", "yaml", "json"), default="table", help="default: %(default)s"
    )
    parser.add_argument(
        "--fail-on",
        choices=(*Severity, _SLO),
        action="append",
        default=[],
        help="exit code 1 for a finding that is at least so severe, or for a target that is missed; may be repeated",
    )
    return parser
