"""An operator that may reach no Git says so for every proposal."""

import pytest
from tests.support.application import NEW, OLD

from inferplan.api.apply import GitSpec
from inferplan.api.reasons import Reason
from inferplan.gitops.nowhere import Nowhere
from inferplan.gitops.port import GitOpsError, Proposal

GIT = GitSpec(repository="https://git.example/team/apps", path="llama.yaml")
PROPOSAL = Proposal("serving", "Deployment", "llama", "vllm", "inferplan/x", "t", "b", OLD, NEW)


async def test_everything_is_refused_with_the_reason() -> None:
    host = Nowhere("INFERPLAN_GIT_HOSTS names no host")
    asked = (
        host.propose("serving", GIT, PROPOSAL),
        host.look("serving", GIT, 1),
        host.close("serving", GIT, 1, "no"),
        host.wanted("serving", GIT, PROPOSAL),
    )
    for call in asked:
        with pytest.raises(GitOpsError) as found:
            await call
        assert found.value.reason is Reason.GIT_REFUSED
        assert not found.value.passes
        assert str(found.value) == (
            'spec.apply.git.repository "https://git.example/team/apps": INFERPLAN_GIT_HOSTS names no host'
        )
