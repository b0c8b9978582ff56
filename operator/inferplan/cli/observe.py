"""What `plan` and `analyze` share: the files and sources that they name, and the observation that follows from them."""

import argparse
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from inferplan.cli.clock import now
from inferplan.cli.documents import read_documents
from inferplan.cli.errors import BadInputError
from inferplan.cli.inputs import Inputs, read_inputs
from inferplan.cli.measure import from_files, from_prometheus, nothing
from inferplan.cli.output import note
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.domain.units import timestamp
from inferplan.observe.assemble import Assembled, Sources, SpecError, assemble
from inferplan.observe.reduce import Measurements


@dataclass(frozen=True)
class Seen:
    """What the files and the metrics say of the instance.

    Attributes:
        inputs: The files.
        observation: All of it together.
        observed_at: When it was measured, RFC 3339.
    """

    inputs: Inputs
    observation: Observation
    observed_at: str


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Adds the options that name files and metrics."""
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
    source.add_argument(
        "--prometheus",
        metavar="URL|NAME",
        help="Prometheus that has the series of spec.metrics.selector, or NAME of one of INFERPLAN_PROMETHEUS_SOURCES",
    )
    parser.add_argument(
        "--interval", metavar="SECONDS", type=float, help="time between pages that do not say when they were taken"
    )


def observe(command: str, options: argparse.Namespace) -> Seen:
    """Reads what the options name; what a person should know of it is noted on standard error.

    Raises:
        BadInputError: A file or a source cannot be used.
    """
    inputs = read_inputs(read_documents(options.filename), partial(note, command))
    assembled = _assembled(inputs)
    measured, observed_at = _measured(inputs, assembled.observation.config, options)
    for problem in assembled.unreadable:
        note(command, f"{problem.where}: {problem.reason}")
    for remark in (*assembled.notes, *measured.notes):
        note(command, remark)
    observation = replace(assembled.observation, metrics=measured.metrics, replica_metrics=measured.replica_metrics)
    return Seen(inputs, observation, timestamp(observed_at))


def target_of(inputs: Inputs) -> str | None:
    """The workload for people; None without one."""
    workload = inputs.workload
    return None if workload is None else f"{workload.kind} {workload.name}, container {workload.container.name}"


def _measured(inputs: Inputs, config: ServingConfig, options: argparse.Namespace) -> tuple[Measurements, datetime]:
    if options.prometheus is not None:
        return from_prometheus(inputs, config, options.prometheus), now()
    if not options.metrics:
        return nothing(inputs), now()
    measured, seconds = from_files(inputs, config, options.metrics, options.interval)
    return measured, now() if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _assembled(inputs: Inputs) -> Assembled:
    workload = inputs.workload
    try:
        return assemble(
            Sources(
                spec=inputs.spec,
                container=workload.container if workload is not None else None,
                node_labels=inputs.node_labels,
                model_config=inputs.model_config,
                owners=workload.owners if workload is not None else (),
            )
        )
    except SpecError as error:
        raise BadInputError(str(error)) from None
