"""The lab's Gitea for tests, and git as a person runs it against it."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from inferplan_lab.gitea import Gitea, GiteaUnavailableError


@contextmanager
def running_gitea(folder: Path) -> Iterator[Gitea]:
    """A Gitea of its own; a test that needs it is skipped where git, or a C compiler to build it, is missing."""
    server = Gitea(folder, report=lambda _line: None)
    try:
        server.start()
    except GiteaUnavailableError as error:
        pytest.skip(str(error))
    try:
        yield server
    finally:
        server.stop()


def git(folder: Path, *words: str, **environment: str) -> str:
    """Runs git in a folder, with no settings but these; returns stdout and stderr, and must succeed."""
    done = subprocess.run(
        ("git", *words),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**_identity(folder), **environment},
        timeout=60,
    )
    assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
    return done.stdout + done.stderr


def _identity(folder: Path) -> Mapping[str, str]:
    names = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
    own = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "HOME": str(folder)}
    return {"PATH": os.environ["PATH"], **own, **dict.fromkeys(names, "test@example.invalid")}
