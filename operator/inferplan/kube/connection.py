"""Where the API server is and how the operator proves who it is."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TOKEN_FILE_SECONDS = 60.0
"""A projected service account token is renewed in its file long before it expires; it is read once a minute."""


class TokenFile:
    """A bearer token in a file that somebody else renews."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._read_at: float | None = None
        self._token = ""

    def token(self) -> str:
        """The token, at most a minute old.

        Raises:
            OSError: The file cannot be read and never could.
        """
        now = self._clock()
        if self._read_at is None or now - self._read_at >= TOKEN_FILE_SECONDS:
            self._token = self._path.read_text("utf-8").strip()
            self._read_at = now
        return self._token

    def forget(self) -> None:
        """Reads the file again on the next use: the API server refused the token."""
        self._read_at = None


@dataclass(frozen=True)
class Connection:
    """An API server and the credentials for it.

    Attributes:
        server: Its URL, without a path.
        tls: Trust and client certificate; None for the machine's own trust.
        headers: Fixed Authorization header, where there is no token file.
        token_file: File of a token that is renewed there; wins over `headers`.
        namespace: The pod's own; None outside of a pod, where a kubeconfig's is no more than what a person looks at.
    """

    server: str
    tls: ssl.SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token_file: Path | None = None
    namespace: str | None = None
