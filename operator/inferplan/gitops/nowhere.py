"""Git where none may be reached: every proposal is refused, and says why."""

from typing import Never

from inferplan.api.apply import GitSpec
from inferplan.gitops.failures import refused
from inferplan.gitops.port import Proposal, Proposed, PullRequest


class Nowhere:
    """Implements GitHost for an operator that may reach no Git.

    Args:
        why: What keeps it from that, and what would change it.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    async def propose(self, namespace: str, git: GitSpec, proposal: Proposal) -> Proposed:
        """Refused."""
        del namespace, proposal
        self._refuse(git)

    async def look(self, namespace: str, git: GitSpec, number: int) -> PullRequest:
        """Refused."""
        del namespace, number
        self._refuse(git)

    async def close(self, namespace: str, git: GitSpec, number: int, comment: str) -> None:
        """Refused."""
        del namespace, number, comment
        self._refuse(git)

    async def wanted(self, namespace: str, git: GitSpec, proposal: Proposal) -> bool:
        """Refused."""
        del namespace, proposal
        self._refuse(git)

    def _refuse(self, git: GitSpec) -> Never:
        raise refused(f'spec.apply.git.repository "{git.repository}": {self._why}')
