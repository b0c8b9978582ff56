"""The lab's Git server: a real Gitea with HTTPS, SSH and the pull-request API, all on loopback.

It needs `git` on PATH (Gitea runs it), and a C compiler once where no release can be downloaded. What people do on it
is in gitea_api.py: `Gitea.people` is its administrator's hand.
"""

import os
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import paramiko

from inferplan_lab import binaries
from inferplan_lab.gitea_api import ADMIN, People, Person
from inferplan_lab.processes import Process, free_port, wait_until

READY_SECONDS = 90  # seen: 3 s on two idle cores; a busy CI machine is given room
SSH_USER = "git"
# As root Gitea refuses to run without the first line, which stands before all sections.
SETTINGS = """\
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
APP_NAME = InferPlan's lab
WORK_PATH = {work}

[server]
PROTOCOL = https
CERT_FILE = {certificate}
KEY_FILE = {key}
DOMAIN = {address}
HTTP_ADDR = {address}
HTTP_PORT = {http}
ROOT_URL = https://{address}:{http}/
START_SSH_SERVER = true
SSH_DOMAIN = {address}
SSH_LISTEN_HOST = {address}
SSH_LISTEN_PORT = {ssh}
SSH_PORT = {ssh}
SSH_USER = {ssh_user}
BUILTIN_SSH_SERVER_USER = {ssh_user}
SSH_SERVER_HOST_KEYS = {host_key}
OFFLINE_MODE = true
LFS_START_SERVER = false
{static}

[database]
DB_TYPE = sqlite3
PATH = {work}/gitea.db

[security]
INSTALL_LOCK = true
PASSWORD_HASH_ALGO = pbkdf2_v1

[service]
DISABLE_REGISTRATION = true

[actions]
ENABLED = false

[packages]
ENABLED = false

[cron]
ENABLED = false

[log]
MODE = console
LEVEL = Warn
"""


class GiteaError(RuntimeError):
    """Gitea did not start; the message ends with its last log lines."""


class GiteaUnavailableError(RuntimeError):
    """This machine lacks what Gitea needs; one line that says what to install."""


@dataclass(frozen=True)
class Branch:
    """A branch as whoever deploys it reads it.

    Attributes:
        folder: The bare repository.
        name: The branch's name.
    """

    folder: Path
    name: str

    def head(self) -> str:
        """Return its newest commit.

        Raises:
            GiteaError: There is no such branch.
        """
        return self._git("rev-parse", f"refs/heads/{self.name}").decode().strip()

    def files(self, commit: str) -> bytes:
        """Return a commit's files as tar.gz, without a folder around them.

        Raises:
            GiteaError: There is no such commit.
        """
        return self._git("archive", "--format=tar.gz", commit)

    def _git(self, *words: str) -> bytes:
        return _run(("git", f"--git-dir={self.folder}", *words), self.folder)


class Gitea:
    """One Gitea in one state folder, with an administrator. Its repositories survive a stop.

    Args:
        state: The folder for settings, keys, repositories, log and pid file.
        address: The local address it listens on.
        report: Gets a line of progress at a time.

    Attributes:
        certificate: What its HTTPS certificate is checked against; the file is there once it was started.
    """

    def __init__(self, state: Path, *, address: str = "127.0.0.1", report: Callable[[str], None] = print) -> None:
        self.state = state.absolute()
        self.certificate = self.state / "certificate.pem"
        self._address = address
        self._report = report
        self._settings = self.state / "app.ini"
        self._host_key = self.state / "ssh-host-key"
        self._process = Process("gitea", self.state)
        self._http, self._ssh = free_port(address), free_port(address)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """https://address:port of its pages and API."""
        return f"https://{self._address}:{self._http}"

    @property
    def ssh_url(self) -> str:
        """ssh://user@address:port before a repository's path."""
        return f"ssh://{SSH_USER}@{self._address}:{self._ssh}"

    @property
    def known_hosts(self) -> str:
        """The line of a known_hosts file that names its SSH host key."""
        key = paramiko.ECDSAKey.from_private_key_file(str(self._host_key))
        return f"[{self._address}]:{self._ssh} {key.get_name()} {key.get_base64()}\n"

    @property
    def people(self) -> People:
        """What people do on it, by its administrator's hand."""
        return People(self.url, self.ssh_url, self.certificate, ADMIN)

    def start(self) -> None:
        """Start it and wait until its API answers.

        Raises:
            GiteaUnavailableError: `git`, or what builds Gitea, is missing.
            GiteaError: It ended, or was not ready in time.
            ProgramUnavailableError: The program can be had in no way (see binaries).
        """
        program = self._program()
        first = not self._settings.exists()
        if first:
            self._set_up(program)
        self._process.start(self._argv(program, "web"), env=_environment(self.state))
        try:
            self._wait()
            if first:
                self._add_person(program, ADMIN)
        except BaseException:  # Ctrl-C included: nothing half-started stays
            self._process.stop()
            raise

    def stop(self) -> None:
        """Stop it; fine when it does not run."""
        self._process.stop()

    def branch(self, repository: str, name: str = "main") -> "Branch":
        """Return a branch of OWNER/NAME, read from the disk."""
        return Branch(self.state / "repositories" / f"{repository}.git", name)

    def _program(self) -> Path:
        if shutil.which("git") is None:
            raise GiteaUnavailableError("Gitea needs git, which is not on PATH (Debian: git)")
        try:
            return binaries.ensure(("gitea",), self._report)["gitea"]
        except binaries.CompilerMissingError as error:
            raise GiteaUnavailableError(str(error)) from error

    def _set_up(self, program: Path) -> None:
        """Make the keys and write the settings."""
        self.state.mkdir(parents=True, exist_ok=True)
        paramiko.ECDSAKey.generate().write_private_key_file(str(self._host_key))
        key = self.state / "certificate.key"
        files = ("--out", str(self.certificate), "--keyout", str(key))
        _run((str(program), "cert", "--host", self._address, "--ca", "--ecdsa-curve", "P256", *files), self.state)
        built = program.parent  # a release has its pages inside, a build of ours beside it
        text = SETTINGS.format(
            work=self.state,
            certificate=self.certificate,
            key=key,
            address=self._address,
            http=self._http,
            ssh=self._ssh,
            ssh_user=SSH_USER,
            host_key=self._host_key,
            static=f"STATIC_ROOT_PATH = {built}" if (built / "templates").is_dir() else "",
        )
        repositories = f"\n[repository]\nROOT = {self.state / 'repositories'}\n"
        self._settings.write_text(text + repositories, encoding="utf-8")

    def _add_person(self, program: Path, person: Person) -> None:
        words = (
            *("admin", "user", "create", "--admin", "--must-change-password=false"),
            *("--username", person.name, "--password", person.password, "--email", person.email),
        )
        _run(self._argv(program, *words), self.state)

    def _argv(self, program: Path, *words: str) -> tuple[str, ...]:
        return (str(program), "--config", str(self._settings), "--work-path", str(self.state), *words)

    def _wait(self) -> None:
        try:
            wait_until(lambda: not self._process.is_running() or self._answers(), READY_SECONDS, self.url)
        except TimeoutError as error:
            raise GiteaError(f"Gitea: {error}; its last log lines:\n{self._process.log_tail()}") from error
        if not self._process.is_running():
            raise GiteaError(f"Gitea ended; its last log lines:\n{self._process.log_tail()}")

    def _answers(self) -> bool:
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),  # a proxy of the machine's environment is not for this address
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.certificate))),
        )
        try:
            with direct.open(f"{self.url}/api/healthz", timeout=5) as response:
                return bool(response.status)
        except (urllib.error.URLError, OSError):
            return False


def _environment(home: Path) -> Mapping[str, str]:
    """Return what Gitea and git see: no settings of the person who runs the lab."""
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}


def _run(argv: tuple[str, ...], home: Path) -> bytes:
    done = subprocess.run(argv, capture_output=True, check=False, env=_environment(home))
    if done.returncode != 0:
        said = (done.stderr + done.stdout).decode(errors="replace").strip()
        raise GiteaError(f"{' '.join(argv[:4])} …: {said}")
    return done.stdout
