"""`kubectl inferplan diff`: what a plan would change in the arguments that run now."""

from inferplan.apply.live import Live, read_live
from inferplan.apply.words import applied_words, with_words
from inferplan.cli.errors import BadInputError
from inferplan.cli.kube import Kubectl
from inferplan.cli.output import note, write
from inferplan.cli.plugin_find import Found
from inferplan.dialects.container import Container
from inferplan.engine.identity import args_digest
from inferplan.engine.patching import Place, diff_text

_PROGRAM = "kubectl inferplan"
_KINDS = {"Deployment": "deployments.apps", "StatefulSet": "statefulsets.apps"}


def diff(kubectl: Kubectl, found: Found) -> int:
    """Prints it, and what is odd about it on standard error; returns the exit code.

    Raises:
        BadInputError: The plan has to be carried out by hand, or its workload is not there.
        CannotRunError: The cluster does not let the user read the workload.
    """
    live, container = live_of(kubectl, found)
    words = applied_words(found.spec)
    if words is None:
        why = found.spec.patch.reason if found.spec.patch is not None and found.spec.patch.reason else "no patch in it"
        raise BadInputError(f'OptimizationPlan "{found.name}" has to be carried out by hand: {why}')
    wanted = with_words(container, words)
    digest, target = args_digest(wanted.command, wanted.args), found.spec.target
    if live.args_digest == digest:
        note("diff", "the workload runs the plan's arguments already", _PROGRAM)
        return 0
    if target is not None and live.args_digest != target.args_digest:
        why = "the workload runs other arguments than those that the plan was made for, so it is not applied"
        note("diff", why, _PROGRAM)
    write(diff_text(Place(live.kind, found.namespace, live.name), container, wanted))
    return 0


def live_of(kubectl: Kubectl, found: Found) -> tuple[Live, Container]:
    """The plan's workload as it stands, and its engine's container.

    Raises:
        BadInputError: The plan names none, or it is not there.
        CannotRunError: The cluster does not let the user read it.
    """
    target = found.spec.target
    if target is None or target.kind not in _KINDS:
        raise BadInputError(f'OptimizationPlan "{found.name}" names no Deployment or StatefulSet')
    document = kubectl.within(found.namespace).find(_KINDS[target.kind], target.name)
    if document is None:
        raise BadInputError(f'{target.kind} "{target.name}" does not exist')
    live = read_live(document, target.container)
    if live.container is None:
        raise BadInputError(f'{target.kind} "{target.name}" has no container "{target.container}" any more')
    return live, live.container
