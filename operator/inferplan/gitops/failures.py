"""The ways in which a proposal fails, each with its reason; pure."""

from inferplan.api.reasons import Reason
from inferplan.gitops.port import GitOpsError


def unreachable(message: str) -> GitOpsError:
    """A server did not answer properly, or was faster; passes by itself."""
    return GitOpsError(Reason.GIT_UNREACHABLE, message, passes=True)


def denied(message: str) -> GitOpsError:
    """The credentials are missing or are not enough; somebody has to change them."""
    return GitOpsError(Reason.GIT_DENIED, message)


def refused(message: str) -> GitOpsError:
    """The repository cannot be used as apply.git has it, or the server does not take the change."""
    return GitOpsError(Reason.GIT_REFUSED, message)


def stale(message: str) -> GitOpsError:
    """The file says neither what the plan found nor what it asks for."""
    return GitOpsError(Reason.GIT_STALE, message)


def not_found(message: str) -> GitOpsError:
    """No manifest of the workload."""
    return GitOpsError(Reason.MANIFEST_NOT_FOUND, message)


def not_editable(message: str) -> GitOpsError:
    """A manifest that cannot be edited with certainty."""
    return GitOpsError(Reason.MANIFEST_NOT_EDITABLE, message)
