"""What people do on a Git server, through Gitea's API: repositories, keys, tokens, commits, pull requests."""

import base64
import io
import json
import secrets
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import paramiko

from inferplan_lab.processes import wait_until

MERGE_SECONDS = 30  # Gitea checks a new pull request in the background before it can be merged
SECONDS = 30
PullState = Literal["open", "merged", "closed"]


class GiteaApiError(RuntimeError):
    """Gitea refused a request; the message has its status and its answer.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Person:
    """Somebody with an account.

    Attributes:
        name: The account's name.
        password: Its password; good for HTTPS and the API.
        email: Its address.
    """

    name: str
    password: str = field(repr=False)
    email: str


ADMIN = Person("lab", secrets.token_hex(16), "lab@example.invalid")
"""The administrator of every lab that this process starts."""


@dataclass(frozen=True)
class Pull:
    """A pull request as it stands.

    Attributes:
        number: Its number.
        title: Its title.
        body: Its text.
        head: The branch that is to be merged.
        base: The branch that it is to be merged into.
        state: Whether it is open, or how it was closed.
        url: Its page.
    """

    number: int
    title: str
    body: str
    head: str
    base: str
    state: PullState
    url: str


@dataclass(frozen=True)
class People:
    """Requests as one person; paths are relative to /api/v1.

    Attributes:
        url: https://address:port
        ssh_url: ssh://user@address:port
        certificate: What the server's certificate is checked against.
        who: Who asks.
    """

    url: str
    ssh_url: str
    certificate: Path
    who: Person

    def call(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Send one request and return the answer: JSON read, other text as it is, None for nothing.

        Raises:
            GiteaApiError: The server says no.
        """
        login = base64.b64encode(f"{self.who.name}:{self.who.password}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310  # https only: the URL is our own server's
            f"{self.url}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=verb,
            headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"},
        )
        try:
            with self._direct().open(request, timeout=SECONDS) as response:
                text = response.read().decode()
                return _read(text, response.headers.get_content_type())
        except urllib.error.HTTPError as error:
            with error:
                raise GiteaApiError(error.code, f"{verb} {path}: {error.code} {error.read().decode()}") from error

    def add_person(self, name: str) -> Person:
        """Make an account with a password of its own."""
        person = Person(name, secrets.token_hex(16), f"{name}@example.invalid")
        account = {"username": name, "password": person.password, "email": person.email, "must_change_password": False}
        self.call("POST", "/admin/users", account)
        return person

    def as_person(self, person: Person) -> "People":
        """The same server, asked by somebody else."""
        return People(self.url, self.ssh_url, self.certificate, person)

    def token(self, name: str = "token", scopes: tuple[str, ...] = ("write:repository",)) -> str:
        """Return a new access token of this person, with these rights of Gitea's."""
        asked = {"name": f"{name}-{secrets.token_hex(4)}", "scopes": scopes}
        token: str = self.call("POST", f"/users/{self.who.name}/tokens", asked)["sha1"]
        return token

    def add_repository(self, name: str, files: Mapping[str, str], branch: str = "main") -> "Repository":
        """Make a private repository of this person's with these files in one commit."""
        self.call("POST", "/user/repos", {"name": name, "private": True, "default_branch": branch})
        repository = Repository(self, f"{self.who.name}/{name}", branch)
        repository.commit(files, "What is deployed")
        return repository

    def _direct(self) -> urllib.request.OpenerDirector:
        context = ssl.create_default_context(cafile=str(self.certificate))
        return urllib.request.build_opener(
            urllib.request.ProxyHandler({}),  # a proxy of the machine's environment is not for this address
            urllib.request.HTTPSHandler(context=context),
        )


@dataclass(frozen=True)
class Repository:
    """One repository, as one person sees it.

    Attributes:
        people: Who asks, and which server.
        path: OWNER/NAME.
        branch: The branch that is deployed from.
    """

    people: People
    path: str
    branch: str = "main"

    @property
    def https_url(self) -> str:
        """Where it is cloned from over HTTPS, without a password."""
        return f"{self.people.url}/{self.path}.git"

    @property
    def ssh_url(self) -> str:
        """Where it is cloned from over SSH."""
        return f"{self.people.ssh_url}/{self.path}.git"

    def add_collaborator(self, person: Person) -> None:
        """Let somebody push to it and merge."""
        self._call("PUT", f"/collaborators/{person.name}", {"permission": "write"})

    def add_deploy_key(self, *, read_only: bool = False) -> str:
        """Let a new SSH key in, for this repository alone; returns the private key, PEM."""
        key = paramiko.ECDSAKey.generate()
        public = f"{key.get_name()} {key.get_base64()}"
        self._call("POST", "/keys", {"title": secrets.token_hex(4), "key": public, "read_only": read_only})
        text = io.StringIO()
        key.write_private_key(text)
        return text.getvalue()

    def protect(self, branch: str | None = None) -> None:
        """Let nobody push to the branch, only merge into it."""
        rule = {"rule_name": branch or self.branch, "enable_push": False}
        self._call("POST", "/branch_protections", rule)

    def read(self, file: str, branch: str | None = None) -> str:
        """Return a file's text at the head of a branch.

        Raises:
            GiteaApiError: There is none (404).
        """
        text: str = self._content(file, branch or self.branch)[1]
        return text

    def commit(self, files: Mapping[str, str], message: str, branch: str | None = None) -> str:
        """Write files in one commit, as a person would; returns the commit."""
        operations = [self._operation(file, text, branch or self.branch) for file, text in files.items()]
        body = {"branch": branch or self.branch, "message": message, "files": operations}
        commit: str = self._call("POST", "/contents", body)["commit"]["sha"]
        return commit

    def head(self, branch: str | None = None) -> str:
        """Return the newest commit of a branch.

        Raises:
            GiteaApiError: There is no such branch (404).
        """
        commit: str = self._call("GET", f"/branches/{_quoted(branch or self.branch)}")["commit"]["id"]
        return commit

    def branches(self) -> tuple[str, ...]:
        """Return the names of its branches, sorted."""
        return tuple(sorted(branch["name"] for branch in self._call("GET", "/branches?limit=50")))

    def messages(self, branch: str | None = None) -> tuple[str, ...]:
        """Return the messages of a branch's commits, newest first."""
        commits = self._call("GET", f"/commits?sha={_quoted(branch or self.branch)}&stat=false&files=false&limit=50")
        return tuple(commit["commit"]["message"] for commit in commits)

    def open_pull(self, head: str, title: str, body: str = "") -> Pull:
        """Open a pull request from a branch to the one that is deployed from."""
        asked = {"head": head, "base": self.branch, "title": title, "body": body}
        return _pull(self._call("POST", "/pulls", asked))

    def pulls(self, state: Literal["open", "closed", "all"] = "all") -> tuple[Pull, ...]:
        """Return the pull requests, oldest first."""
        listed = self._call("GET", f"/pulls?state={state}&limit=50")
        return tuple(sorted((_pull(entry) for entry in listed), key=lambda pull: pull.number))

    def pull(self, number: int) -> Pull:
        """Return one pull request."""
        return _pull(self._call("GET", f"/pulls/{number}"))

    def diff(self, number: int) -> str:
        """Return what a pull request changes, as a unified diff."""
        text: str = self._call("GET", f"/pulls/{number}.diff")
        return text

    def comments(self, number: int) -> tuple[str, ...]:
        """Return what was said on a pull request, oldest first."""
        return tuple(comment["body"] for comment in self._call("GET", f"/issues/{number}/comments"))

    def merge(self, number: int, how: str = "merge") -> None:
        """Merge a pull request, as soon as Gitea has checked that it can be.

        Args:
            number: Its number.
            how: Gitea's name for the way: merge, squash, rebase or rebase-merge.

        Raises:
            TimeoutError: It cannot be.
        """
        what = f"{self.path}: pull request {number} to be mergeable"
        wait_until(lambda: self._merged(number, how), MERGE_SECONDS, what)

    def close(self, number: int) -> None:
        """Close a pull request without merging it."""
        self._call("PATCH", f"/pulls/{number}", {"state": "closed"})

    def _merged(self, number: int, how: str) -> bool:
        try:
            self._call("POST", f"/pulls/{number}/merge", {"Do": how})
        except GiteaApiError as error:
            if error.status != HTTPStatus.METHOD_NOT_ALLOWED:
                raise
            return False
        return True

    def _operation(self, file: str, text: str, branch: str) -> dict[str, str]:
        content = {"path": file, "content": base64.b64encode(text.encode()).decode()}
        try:
            return {"operation": "update", "sha": self._content(file, branch)[0], **content}
        except GiteaApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return {"operation": "create", **content}

    def _content(self, file: str, branch: str) -> tuple[str, str]:
        """Return a file's object id and text."""
        found = self._call("GET", f"/contents/{urllib.parse.quote(file)}?ref={_quoted(branch)}")
        return found["sha"], base64.b64decode(found["content"]).decode()

    def _call(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        return self.people.call(verb, f"/repos/{self.path}{path}", body)


def _pull(entry: Mapping[str, Any]) -> Pull:
    state: PullState = "open" if entry["state"] == "open" else "merged" if entry["merged"] else "closed"
    head, base = entry["head"]["ref"], entry["base"]["ref"]
    return Pull(entry["number"], entry["title"], entry["body"], head, base, state, entry["html_url"])


def _read(text: str, content_type: str) -> Any:  # noqa: ANN401 - JSON
    if not text:
        return None
    return json.loads(text) if content_type == "application/json" else text


def _quoted(branch: str) -> str:
    return urllib.parse.quote(branch, safe="")
