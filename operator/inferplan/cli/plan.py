"""`inferplan plan`: the whole pipeline on files."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import yaml

from inferplan.api.plan import Decision
from inferplan.api.values import ImpactLevel
from inferplan.cli.clock import now, timestamp
from inferplan.cli.documents import read_documents
from inferplan.cli.errors import BadInputError
from inferplan.cli.inputs import Inputs, read_inputs
from inferplan.cli.measure import from_files, from_prometheus, nothing
from inferplan.cli.output import note
from inferplan.cli.parsers import command_parser
from inferplan.cli.plan_document import Planned, patch_of, plan_document
from inferplan.cli.render import heading_of, render
from inferplan.engine.planner import Outcome
from inferplan.engine.planner import plan as decide
from inferplan.observe.assemble import Assembled, Sources, SpecError, assemble, policy_of
from inferplan.observe.reduce import Measurements

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
    inputs = read_inputs(read_documents(options.filename), partial(note, "plan"))
    measured, observed_at = _measured(inputs, options)
    assembled = _assembled(inputs, measured)
    for problem in assembled.unreadable:
        note("plan", f"{problem.where}: {problem.reason}")
    for remark in (*assembled.notes, *measured.notes):
        note("plan", remark)
    policy = policy_of(inputs.spec, rules_of_thumb=inputs.spec.target_ref is None)
    outcome = decide(assembled.observation, policy)
    planned = Planned(inputs, assembled.observation, outcome.decision, timestamp(observed_at))
    _print(planned, outcome, options.output)
    return 1 if _is_finding(outcome.decision, options.fail_on) else 0


def _measured(inputs: Inputs, options: argparse.Namespace) -> tuple[Measurements, datetime]:
    if options.prometheus is not None:
        return from_prometheus(inputs, options.prometheus), now()
    if not options.metrics:
        return nothing(inputs), now()
    measured, seconds = from_files(inputs, options.metrics, options.interval)
    return measured, now() if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _assembled(inputs: Inputs, measured: Measurements) -> Assembled:
    workload = inputs.workload
    try:
        return assemble(
            Sources(
                spec=inputs.spec,
                container=workload.container if workload is not None else None,
                node_labels=inputs.node_labels,
                model_config=inputs.model_config,
                metrics=measured.metrics,
                replica_metrics=measured.replica_metrics,
            )
        )
    except SpecError as error:
        raise BadInputError(str(error)) from None


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
    workload = inputs.workload
    target = f"{workload.kind} {workload.name}, container {workload.container.name}" if workload is not None else None
    heading = heading_of(f"{inputs.namespace}/{inputs.name}", planned.observation, outcome.diagnosis, target)
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
    parser.add_argument(
        "-f",
        "--filename",
        metavar="FILE",
        action="append",
        required=True,
        help="file with objects, - is standard input",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--metrics",
        metavar="[POD=]FILE",
        action="append",
        default=[],
        help="the engine's /metrics page; again for later pages, which give rates; POD= tells several pods apart",
    )
    source.add_argument("--prometheus", metavar="URL", help="Prometheus that has the series of spec.metrics.selector")
    parser.add_argument(
        "--interval", metavar="SECONDS", type=float, help="time between pages that do not say when they were taken"
    )
    parser.add_argument(
        "-o", "--output", choices=("table", "yaml", "json", "diff"), default="table", help="default: %(default)s"
    )
    parser.add_argument(
        "--fail-on", choices=("any", "high"), help="exit code 1 when a change, or one of high impact, is proposed"
    )
    return parser
