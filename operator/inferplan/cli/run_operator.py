"""`inferplan operator`: runs the operator."""

from collections.abc import Sequence

from inferplan.cli.errors import BadInputError
from inferplan.cli.parsers import command_parser
from inferplan.handlers.runner import run as run_operator
from inferplan.settings import SettingsError, load_settings

_DESCRIPTION = """\
Runs the operator: watches InferenceInstances, writes their status and OptimizationPlans.
It is set up by environment variables, all starting with INFERPLAN_ (docs/operations.md), and uses
KUBECONFIG, else the pod's service account, else ~/.kube/config. It stops on SIGTERM."""


def run(words: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    command_parser("operator", _DESCRIPTION, "INFERPLAN_NAMESPACES=serving inferplan operator").parse_args(words)
    try:
        settings = load_settings()
    except SettingsError as error:
        raise BadInputError(str(error)) from None
    return run_operator(settings)
