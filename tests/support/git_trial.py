"""A trial whose workload is kept by Flux as a branch of a Gitea repository has it, as the people around it see it."""

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Self

import yaml
from tests.support.ground import Ground
from tests.support.lab import Answer
from tests.support.trial import Trial
from typing_extensions import override

from inferplan_lab.flux import Flux
from inferplan_lab.gitea import Gitea
from inferplan_lab.gitea_api import People, Pull, Repository

FOLDER = "apps/llama"
PATH = f"{FOLDER}/deployment.yaml"
BASE = "base/llama/deployment.yaml"
KUSTOMIZATION = "resources:\n- {}\n"
SECRET = "git"
SCOPES = ("write:repository", "write:issue")
"""What a token needs to push, and to open, comment and close pull requests."""


@dataclass(frozen=True)
class Site:
    """What Git trials share.

    Attributes:
        gitea: The Git server, by whose administrator's hand people act.
        flux: What deploys.
        robot: The operator's account there.
        token: Its token.
    """

    gitea: Gitea
    flux: Flux
    robot: People
    token: str

    @classmethod
    def of(cls, gitea: Gitea, flux: Flux) -> "Site":
        """With an account for the operator."""
        robot = gitea.people.as_person(gitea.people.add_person(f"robot-{secrets.token_hex(4)}"))
        return cls(gitea, flux, robot, robot.token(scopes=SCOPES))


@dataclass
class GitTrial(Trial):
    """One namespace, one repository, a folder of which is deployed to it."""

    site: Site = field(kw_only=True)
    over_ssh: bool = False
    overlay: bool = False

    @property
    def text(self) -> str:
        """The manifest as its owner wrote it."""
        written = yaml.safe_dump(self.document(), sort_keys=False)
        limit = f"--max-num-seqs={self.limit}\n"
        return "# Kept by the platform team.\n" + written.replace(limit, f"{limit[:-1]}   # why: incident 7\n")

    @property
    def repository(self) -> Repository:
        """Its repository, by its owner's hand."""
        people = self.site.gitea.people
        return Repository(people, f"{people.who.name}/{self.namespace}")

    @property
    def files(self) -> dict[str, str]:
        """What the repository holds at first: the manifest, or an overlay on a base that has it."""
        if not self.overlay:
            return {PATH: self.text}
        base = KUSTOMIZATION.format("deployment.yaml")
        overlay = KUSTOMIZATION.format("../../base/llama")
        return {BASE: self.text, "base/llama/kustomization.yaml": base, f"{FOLDER}/kustomization.yaml": overlay}

    def deploy(self) -> None:
        """Puts the manifest into a repository of its own, from which Flux deploys it, and waits for the pod."""
        made = self.site.gitea.people.add_repository(self.namespace, self.files)
        made.add_collaborator(self.site.robot.who)
        self.site.flux.keep(self.namespace, self.site.gitea.branch(made.path), "./apps")
        self.site.flux.until_applied(self.namespace, made.head())
        self.stands()

    def git_instance(self, strategy: str = "PullRequest", **apply: Any) -> None:
        """The instance in mode GitOps, with the credentials and the right to read them."""
        repository = {"repository": self.repository.https_url}
        if self.over_ssh:
            repository = {"repository": self.repository.ssh_url, "apiUrl": f"{self.site.gitea.url}/api/v1"}
        self._credentials(api=strategy == "PullRequest" or not self.over_ssh)
        place = {"path": FOLDER if self.overlay else PATH, "forge": "Gitea", "secretRef": {"name": SECRET}}
        self.instance("GitOps", git={**repository, **place, "strategy": strategy}, takeOverFrom=[], **apply)

    def _credentials(self, *, api: bool) -> None:
        """Those alone that are needed."""
        content = {}
        if self.over_ssh:
            key, known = self.repository.add_deploy_key(), self.site.gitea.known_hosts
            content |= {"ssh-privatekey": key, "known_hosts": known}
        if api:
            content |= {"token": self.site.token, "ca.crt": self.site.gitea.certificate.read_text("utf-8")}
        data = {name: base64.b64encode(text.encode()).decode() for name, text in content.items()}
        rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["get"]}
        group = "rbac.authorization.k8s.io"
        subject = {"kind": "User", "name": self.operator.user, "apiGroup": group}
        meta = {"name": "inferplan-git"}
        self.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": data},
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": [rule]},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": meta,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": meta["name"]},
                "subjects": [subject],
            },
        )

    def suspend(self, *, suspended: bool) -> None:
        """Has Flux leave the namespace as it is, or not any more."""
        patch = json.dumps({"spec": {"suspend": suspended}})
        self.kubectl("patch", "kustomizations.kustomize.toolkit.fluxcd.io/lab", "--type=merge", f"--patch={patch}")

    def pulls(self) -> tuple[Pull, ...]:
        """The repository's pull requests, oldest first."""
        return self.repository.pulls()

    def until_pull(self, number: int = 1) -> Pull:
        """Waits until a pull request is there and noted by the plan; the pull request."""
        self.until(lambda: number in self._noted(), f"{self.namespace}: pull request {number}, {self.told()}")
        return self.repository.pull(number)

    def _noted(self) -> set[int]:
        status = self.plan().get("status", {})
        notes = (status.get(part, {}).get("git", {}) for part in ("attempt", "rollback"))
        return {note["pullRequest"]["number"] for note in notes if "pullRequest" in note}

    def read(self) -> str:
        """The manifest on the branch that is deployed from."""
        return self.repository.read(PATH)

    def secrets_told(self) -> Answer:
        """All that plans, instances and events of the namespace say."""
        return self.cluster.run("get", "ii,oplan,events", f"--namespace={self.namespace}", "--output=json")


@dataclass(frozen=True)
class GitGround(Ground):
    """A ground whose operator may reach the lab's Git server."""

    @property
    @override
    def environment(self) -> dict[str, str]:
        return {**super().environment, "INFERPLAN_GIT_HOSTS": "127.0.0.1"}

    @classmethod
    def on(cls, ground: Ground) -> Self:
        """The same ground otherwise."""
        return cls(ground.cluster, ground.sources, ground.fake)
