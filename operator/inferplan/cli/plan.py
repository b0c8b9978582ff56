"""`inferplan plan`: the whole pipeline on files."""

import argparse
import json
import sys
from collections.abc import Sequence

import yaml

from inferplan.api.plan import Decision
from inferplan.api.values import ImpactLevel
from inferplan.cli.errors import BadInputError
from inferplan.cli.observe import add_sources, observe, target_of
from inferplan.cli.output import note
from inferplan.cli.parsers import command_parser
from inferplan.cli.plan_document import Planned, patch_of, plan_document
from inferplan.cli.render import heading_of, render
from inferplan.engine.planner import Outcome
from inferplan.engine.planner import plan as decide
from inferplan.observe.assemble import policy_of

_DESCRIPTION = """\
Plans from files, without a cluster: what limits an instance, and what to change in it.
The files hold one InferenceInstance, and what belongs to it: its Deployment or StatefulSet, the ConfigMap
with its model's config.json, a Node with GPU labels. YAML or JSON, many documents in a file are fine.

An instance with a targetRef is planned for as in a cluster: without measurements nothing is proposed.
One without it gets rules of thumb, marked as such."""
_EXAMPLE = "inferplan plan -f instance.yaml -f deployment.yaml --metrics scrape.txt -o table"
_EXIT_CODES = "exit codes: 0 fine, 1 findings (with --fail-on), 2 bad input"
_GRAVE = frozenset({ImpactLevel.HIGH, ImpactLevel.CRITICAL})


def run(words: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    options = _parser().parse_args(words)
    seen = observe("plan", options)
    policy = policy_of(seen.inputs.spec, rules_of_thumb=seen.inputs.spec.target_ref is None)
    outcome = decide(seen.observation, policy)
    planned = Planned(seen.inputs, seen.observation, outcome.decision, seen.observed_at)
    _print(planned, outcome, options.output)
    return 1 if _is_finding(outcome.decision, options.fail_on) else 0


def _print(planned: Planned, outcome: Outcome, output: str) -> None:
    match output:
        case "json":
            print(json.dumps(plan_document(planned), indent=2, ensure_ascii=False))
        case "yaml":
            sys.stdout.write(yaml.safe_dump(plan_document(planned), sort_keys=False, allow_unicode=True, width=110))
        case "diff":
            _print_diff(planned)
        case _:
            sys.stdout.write(_table(planned, outcome))


def _table(planned: Planned, outcome: Outcome) -> str:
    inputs = planned.inputs
    heading = heading_of(f"{inputs.namespace}/{inputs.name}", planned.observation, outcome.diagnosis, target_of(inputs))
    return render(outcome.decision, heading)


def _print_diff(planned: Planned) -> None:
    if planned.inputs.workload is None:
        raise BadInputError("-o diff needs the workload: give its Deployment or StatefulSet, and spec.targetRef")
    patch = patch_of(planned)
    if patch is None:
        note("plan", "nothing to change")
    elif patch.diff is None:
        note("plan", f"the change has to be made by hand: {patch.reason}")
    else:
        sys.stdout.write(patch.diff)


def _is_finding(decision: Decision, level: str | None) -> bool:
    impacts = [entry.expected_impact for entry in decision.optimizations]
    match level:
        case "any":
            return bool(impacts)
        case "high":
            return any(impact in _GRAVE for impact in impacts)
        case _:
            return False


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("plan", _DESCRIPTION, f"{_EXAMPLE}\n\n{_EXIT_CODES}")
    add_sources(parser)
    parser.add_argument(
        "-o", "--output", choices=("table", "yaml", "json", "diff"), default="table", help="default: %(default)s"
    )
    parser.add_argument(
        "--fail-on", choices=("any", "high"), help="exit code 1 when a change, or one of high impact, is proposed"
    )
    return parser
