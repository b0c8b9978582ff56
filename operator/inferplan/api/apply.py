"""spec.apply of an InferenceInstance: whether and how plans are applied (contract section 1)."""

from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field

from inferplan.api.base import Name, WireModel
from inferplan.api.rules import FORGE_OF_HOST, GITOPS_NEEDS_GIT, rules


class ApplyMode(StrEnum):
    """Whether plans are applied: never, after approval, by itself, or through Git."""

    OFF = "Off"
    APPROVE = "Approve"
    AUTO = "Auto"
    GITOPS = "GitOps"


class MaintenanceWindow(WireModel):
    """A recurring time in which a plan may be applied."""

    schedule: Annotated[
        str,
        Field(
            min_length=9,
            max_length=100,
            pattern=r"^\S+( \S+){4}$",
            description='Start, a cron expression of five fields: "0 2 * * *" is 2 a.m. each day.',
        ),
    ]
    time_zone: Annotated[
        str, Field(min_length=1, max_length=64, description='IANA time zone of the schedule, such as "Europe/Berlin".')
    ] = "Etc/UTC"
    duration_seconds: Annotated[
        int, Field(ge=60, le=604_800, description="Length of the window in seconds, 60 to 604800 (a week).")
    ]


class Undecided(StrEnum):
    """What becomes of a plan of which a day could not tell whether it helps."""

    KEEP = "Keep"
    ROLL_BACK = "RollBack"


class VerifySpec(WireModel):
    """How an applied plan is judged."""

    warm_up_seconds: Annotated[
        int, Field(ge=0, le=86_400, description="Seconds after the rollout that are left out: caches and graphs fill.")
    ] = 120
    window_seconds: Annotated[
        int, Field(ge=60, le=86_400, description="Seconds that are compared, before and after.")
    ] = 900
    min_requests: Annotated[
        int, Field(ge=1, le=10_000_000, description="With fewer requests in the window, the verdict is Inconclusive.")
    ] = 200
    max_regression_percent: Annotated[
        int, Field(ge=0, le=100, description="A metric that gets worse by more percent than this means roll-back.")
    ] = 5
    on_inconclusive: Annotated[
        Undecided,
        Field(description="What becomes of a plan that runs for a day in which no window could be compared."),
    ] = Undecided.KEEP


class SecretRef(WireModel):
    """A Secret in the instance's namespace."""

    name: Annotated[Name, Field(description="Name of the Secret.")]


class GitStrategy(StrEnum):
    """How a change reaches the branch."""

    PULL_REQUEST = "PullRequest"
    COMMIT = "Commit"


class Forge(StrEnum):
    """Whose API opens pull requests; a Forgejo has Gitea's."""

    GITHUB = "GitHub"
    GITLAB = "GitLab"
    GITEA = "Gitea"


class GitAuthor(WireModel):
    """Who a commit is by."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=128, pattern=r"^[^<>\x00-\x1f\x7f]+$", description="Name in commits."),
    ] = "InferPlan"
    email: Annotated[
        str,
        Field(
            min_length=3,
            max_length=254,
            pattern=r"^[^<>@\s\x00-\x1f\x7f]+@[^<>@\s\x00-\x1f\x7f]+$",
            description="E-mail address in commits; no mail is sent to it.",
        ),
    ] = "inferplan@noreply.invalid"


class GitSpec(WireModel):
    """Where the workload's manifest lives in Git."""

    model_config = ConfigDict(json_schema_extra=rules(FORGE_OF_HOST))

    repository: Annotated[
        str,
        Field(
            max_length=512,
            pattern=r"^(https://|ssh://([A-Za-z0-9_][A-Za-z0-9._-]*@)?)[A-Za-z0-9][^@\s]*$",
            description="https:// or ssh:// URL; no password in it, credentials come from secretRef.",
        ),
    ]
    branch: Annotated[
        str,
        Field(
            min_length=1,
            max_length=128,
            pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$",
            description="Branch that is deployed from.",
        ),
    ] = "main"
    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=512,
            pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$",
            description=(
                "Path in the repository of the manifest, of a Kustomize overlay's folder, or of a Helm values file; no"
                " segment starts with a dot."
            ),
        ),
    ]
    strategy: Annotated[
        GitStrategy, Field(description="PullRequest: propose on a branch of its own. Commit: commit to the branch.")
    ] = GitStrategy.PULL_REQUEST
    undo: Annotated[
        GitStrategy | None,
        Field(description="How undoing a plan that did harm reaches the branch. Default: as strategy says."),
    ] = None
    forge: Annotated[
        Forge | None,
        Field(
            description=(
                "Whose API opens pull requests; needed for strategy PullRequest where the host is neither github.com"
                " nor gitlab.com. A Forgejo is a Gitea."
            )
        ),
    ] = None
    api_url: Annotated[
        str | None,
        Field(
            max_length=512,
            pattern=r"^https://[A-Za-z0-9][^@\s?#]*$",
            description="URL of that API. Default: where the forge has it on the repository's host.",
        ),
    ] = None
    author: Annotated[GitAuthor, Field(description="Who the commits are by.")] = GitAuthor()
    secret_ref: Annotated[
        SecretRef | None,
        Field(
            description=(
                "Secret with the credentials: username and password, or token, for https:// and for the forge's API;"
                " ssh-privatekey and known_hosts for ssh://; ca.crt where the host's certificate is your own CA's."
            )
        ),
    ] = None

    @property
    def undo_strategy(self) -> GitStrategy:
        """How undoing reaches the branch."""
        return self.undo if self.undo is not None else self.strategy


_FORGES = {"github.com": Forge.GITHUB, "gitlab.com": Forge.GITLAB}


def forge_of(git: GitSpec) -> Forge | None:
    """Whose API a repository's host has; None where nothing says it."""
    return git.forge or _FORGES.get(urlsplit(git.repository).hostname or "")


class ApplySpec(WireModel):
    """Whether and how plans are applied."""

    model_config = ConfigDict(json_schema_extra=rules(GITOPS_NEEDS_GIT))

    mode: Annotated[
        ApplyMode,
        Field(
            description=(
                "Off: plans are written, nothing is applied. Approve: a plan is applied once its spec.approval says so."
                " Auto: plans are applied by themselves, inside the maintenance windows. GitOps: plans become changes"
                " in the repository named by git."
            )
        ),
    ] = ApplyMode.OFF
    maintenance_windows: Annotated[
        tuple[MaintenanceWindow, ...],
        Field(max_length=16, description="Times in which a plan may be applied. Default: any time."),
    ] = ()
    cooldown_seconds: Annotated[
        int, Field(ge=0, le=2_592_000, description="Seconds of rest after an applied plan.")
    ] = 21_600
    verify: Annotated[VerifySpec, Field(description="How an applied plan is judged.")] = VerifySpec()
    rollout_timeout_seconds: Annotated[
        int,
        Field(
            ge=60,
            le=86_400,
            description="Seconds within which one more pod must get ready with a plan's arguments; else it is undone.",
        ),
    ] = 1_800
    canary: Annotated[
        bool,
        Field(
            description=(
                "Try a plan on one replica beside the others first: a Deployment of its own with the plan's arguments,"
                " which needs GPUs of its own. It is measured under the same load, and the workload is changed only"
                " where it does no harm. For Deployments; a pull request is not tried first."
            )
        ),
    ] = False
    take_over_from: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...],
        Field(
            max_length=16,
            description=(
                "Field managers whose arguments InferPlan may write over, as the workload's metadata.managedFields"
                ' names them, such as "kubectl-client-side-apply". Nobody else\'s fields are forced. Default: none.'
            ),
        ),
    ] = ()
    allow_under_git_ops: Annotated[
        bool,
        Field(
            description=(
                "Patch the workload although Argo CD or Flux keeps it as Git has it: only where they are told to ignore"
                " its arguments, else they take the change back."
            )
        ),
    ] = False
    git: Annotated[GitSpec | None, Field(description="Where the manifest lives; needed for mode GitOps.")] = None
