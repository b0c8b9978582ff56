"""`inferplan show`: a stored OptimizationPlan for people."""

import sys
from collections.abc import Sequence

from pydantic import ValidationError

from inferplan.api.kinds import OPTIMIZATION_PLAN
from inferplan.api.plan import PlanSpec
from inferplan.cli.documents import Document, read_documents
from inferplan.cli.errors import BadInputError
from inferplan.cli.parsers import command_parser
from inferplan.cli.render import heading_of_plan, render
from inferplan.web.problems import Spelling, problems_of

_DESCRIPTION = """\
Prints OptimizationPlans as `inferplan plan` does: what changes, why, with what effect and risk.
Reads YAML or JSON from files or from standard input."""


def run(words: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    parser = command_parser("show", _DESCRIPTION, "kubectl get oplan -n serving -o yaml | inferplan show -f -")
    parser.add_argument(
        "-f", "--filename", metavar="FILE", action="append", required=True, help="file with plans, - is standard input"
    )
    options = parser.parse_args(words)
    plans = [entry for entry in read_documents(options.filename) if entry.kind == OPTIMIZATION_PLAN.kind]
    if not plans:
        raise BadInputError(f"{' '.join(options.filename)}: holds no {OPTIMIZATION_PLAN.kind}")
    sys.stdout.write("\n".join(rendered(plan) for plan in plans))
    return 0


def rendered(document: Document) -> str:
    """A stored plan as `inferplan plan` prints it.

    Raises:
        BadInputError: It is no plan that this version can read.
    """
    try:
        spec = PlanSpec.model_validate(document.content.get("spec"))
    except ValidationError as error:
        lines = [problem.line for problem in problems_of(error, PlanSpec, Spelling.KUBE, "spec")]
        raise BadInputError(*(f"{document.place}: {line}" for line in lines)) from None
    namespace = document.metadata.get("namespace")
    name = spec.instance_ref.name
    status = document.content.get("status")
    phase = status.get("phase") if isinstance(status, dict) else None
    instance = f"{namespace}/{name}" if namespace else name
    return render(spec, heading_of_plan(instance, spec, None if phase is None else str(phase)))
