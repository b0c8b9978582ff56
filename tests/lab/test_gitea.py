"""The lab's Git server as a person and a robot see it: HTTPS, SSH, pull requests."""

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.git_server import git

from inferplan_lab.gitea import Gitea, GiteaError, GiteaUnavailableError
from inferplan_lab.gitea_api import GiteaApiError, People, Person, Repository

FILE = "apps/llama/deployment.yaml"
FILES = {FILE: "replicas: 1\n", "README.md": "deployed from here\n"}


@pytest.fixture(scope="module")
def owner(gitea: Gitea) -> People:
    return gitea.people.as_person(gitea.people.add_person("owner"))


@pytest.fixture
def repository(owner: People, request: pytest.FixtureRequest) -> Repository:
    return owner.add_repository(request.node.name[:60].replace("[", "-").replace("]", ""), FILES)


@pytest.fixture
def clone(gitea: Gitea, repository: Repository, tmp_path: Path) -> Callable[..., Path]:
    """Clones over HTTPS with these credentials, and makes a commit on a branch of its own."""

    def cloned(name: str, password: str) -> Path:
        url = repository.https_url.replace("https://", f"https://{name}:{password}@")
        git(tmp_path, "clone", "--quiet", url, "work", GIT_SSL_CAINFO=str(gitea.certificate))
        return changed(tmp_path / "work")

    return cloned


def changed(work: Path) -> Path:
    git(work, "checkout", "--quiet", "-b", "robot/change")
    (work / FILE).write_text("replicas: 2\n")
    git(work, "commit", "--quiet", "--all", "--message", "Two replicas\n\nPlan: llama-1")
    return work


def test_a_token_pushes_a_branch_over_https(
    gitea: Gitea, owner: People, repository: Repository, clone: Callable[..., Path]
) -> None:
    work = clone("anything", owner.token())
    git(work, "push", "--quiet", "origin", "robot/change", GIT_SSL_CAINFO=str(gitea.certificate))
    assert repository.branches() == ("main", "robot/change")
    assert repository.read(FILE, "robot/change") == "replicas: 2\n"
    assert repository.read(FILE) == "replicas: 1\n"
    assert repository.messages("robot/change")[0].startswith("Two replicas\n\nPlan: llama-1")


def test_a_wrong_password_is_refused(clone: Callable[..., Path]) -> None:
    with pytest.raises(AssertionError, match="Authentication failed"):
        clone("owner", "wrong")


def test_a_push_to_a_protected_branch_is_refused(
    gitea: Gitea, owner: People, repository: Repository, clone: Callable[..., Path]
) -> None:
    repository.protect()
    work = clone("owner", owner.token())
    with pytest.raises(AssertionError, match=r"(?i)protected branch"):
        git(work, "push", "--quiet", "origin", "robot/change:main", GIT_SSL_CAINFO=str(gitea.certificate))
    assert repository.messages() == ("What is deployed\n",)


@pytest.fixture
def over_ssh(tmp_path: Path) -> Callable[[str, str], dict[str, str]]:
    """The environment in which git takes this private key and this known_hosts file."""
    if shutil.which("ssh") is None:
        pytest.skip("git over SSH needs ssh (Debian: openssh-client)")

    def environment(key: str, known_hosts: str) -> dict[str, str]:
        own, known = tmp_path / "key", tmp_path / "known_hosts"
        own.touch(mode=0o600)
        own.write_text(key)
        known.write_text(known_hosts)
        options = f"-F none -i {own} -o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes -o BatchMode=yes"
        return {"GIT_SSH_COMMAND": f"ssh {options}"}

    return environment


def test_a_deploy_key_pushes_a_branch_over_ssh_to_the_host_that_is_known(
    gitea: Gitea,
    repository: Repository,
    tmp_path: Path,
    over_ssh: Callable[[str, str], dict[str, str]],
) -> None:
    environment = over_ssh(repository.add_deploy_key(), gitea.known_hosts)
    git(tmp_path, "clone", "--quiet", repository.ssh_url, "work", **environment)
    git(changed(tmp_path / "work"), "push", "--quiet", "origin", "robot/change", **environment)
    assert repository.read(FILE, "robot/change") == "replicas: 2\n"


def test_a_read_only_deploy_key_cannot_push(
    gitea: Gitea,
    repository: Repository,
    tmp_path: Path,
    over_ssh: Callable[[str, str], dict[str, str]],
) -> None:
    environment = over_ssh(repository.add_deploy_key(read_only=True), gitea.known_hosts)
    git(tmp_path, "clone", "--quiet", repository.ssh_url, "work", **environment)
    with pytest.raises(AssertionError, match=r"not allowed|denied|not authorized"):
        git(changed(tmp_path / "work"), "push", "--quiet", "origin", "robot/change", **environment)
    assert repository.branches() == ("main",)


def test_an_unknown_host_key_is_noticed(
    repository: Repository, tmp_path: Path, over_ssh: Callable[[str, str], dict[str, str]]
) -> None:
    environment = over_ssh(repository.add_deploy_key(), "")
    with pytest.raises(AssertionError, match="Host key verification failed"):
        git(tmp_path, "clone", "--quiet", repository.ssh_url, "work", **environment)


def test_a_pull_request_is_opened_read_and_merged(repository: Repository) -> None:
    branch(repository, "robot/change", "replicas: 2\n")
    pull = repository.open_pull("robot/change", "Two replicas", "because of a queue")
    assert repository.pulls("open") == (pull,)
    assert (pull.head, pull.base, pull.state, pull.body) == ("robot/change", "main", "open", "because of a queue")
    assert "-replicas: 1\n+replicas: 2\n" in repository.diff(pull.number)
    repository.merge(pull.number)
    assert repository.pull(pull.number).state == "merged"
    assert repository.read(FILE) == "replicas: 2\n"


def test_a_pull_request_is_closed_unmerged(repository: Repository) -> None:
    branch(repository, "robot/change", "replicas: 2\n")
    pull = repository.open_pull("robot/change", "Two replicas")
    repository.close(pull.number)
    assert [entry.state for entry in repository.pulls()] == ["closed"]
    assert repository.read(FILE) == "replicas: 1\n"


def branch(repository: Repository, name: str, text: str) -> None:
    repository.people.call("POST", f"/repos/{repository.path}/branches", {"new_branch_name": name})
    repository.commit({FILE: text}, "A change", name)


def test_somebody_elses_commit_moves_the_branch(gitea: Gitea, repository: Repository) -> None:
    before = repository.head()
    after = repository.commit({"README.md": "changed\n", "new.txt": "new\n"}, "Somebody's change")
    assert (repository.head(), before != after) == (after, True)
    branch = gitea.branch(repository.path)
    assert branch.head() == after
    with tarfile.open(fileobj=io.BytesIO(branch.files(after))) as archive:
        assert [name for name in archive.getnames() if "." in name] == ["README.md", FILE, "new.txt"]


def test_a_stranger_sees_no_private_repository(gitea: Gitea, repository: Repository) -> None:
    stranger = gitea.people.as_person(Person("nobody", "wrong", ""))
    with pytest.raises(GiteaApiError) as error:
        Repository(stranger, repository.path).head()
    assert error.value.status == 401
    with pytest.raises(GiteaError, match="rev-parse"):
        gitea.branch(repository.path, "none").head()


def test_its_repositories_survive_a_restart(gitea: Gitea, repository: Repository) -> None:
    gitea.stop()
    gitea.start()
    assert repository.read("README.md") == "deployed from here\n"


def test_without_git_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GiteaUnavailableError, match=r"git, which is not on PATH \(Debian: git\)"):
        Gitea(tmp_path / "gitea", report=lambda _line: None).start()
