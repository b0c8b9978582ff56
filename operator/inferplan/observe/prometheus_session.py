"""Opens the Prometheus sources that the administrator has named: credentials and certificates out of files.

Files are read again when they change, because tokens, passwords and certificates are renewed while the operator runs:
token and password once a minute and whenever the server refuses them; certificates and keys as soon as one of the
files is another one than before, which is looked up before each query.
"""

import base64
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from inferplan.kube.connection import TokenFile
from inferplan.observe.prometheus import MIB, HttpPrometheus, Limits, Watch
from inferplan.observe.prometheus_types import PrometheusError
from inferplan.settings import PrometheusSource, SettingsError

_TOKEN = re.compile(r"[\x21-\x7e]+")


class _FileError(Exception):
    """A file of a source cannot be used: "bearer_token_file: /t cannot be read (FileNotFoundError)"."""


class FileAccess:
    """Credentials and trust of one source. Implements `observe.prometheus.Access`.

    Args:
        source: Whose they are.
        monotonic: Seconds since any time.
    """

    def __init__(self, source: PrometheusSource, monotonic: Callable[[], float]) -> None:
        self._source = source
        secret = source.bearer_token_file or source.password_file
        self._secret = TokenFile(secret, monotonic) if secret is not None else None
        self._tls: ssl.SSLContext | bool = True
        self._tls_state: tuple[object, ...] = ()

    def check(self, name: str) -> None:
        """Reads everything once.

        Raises:
            SettingsError: A file cannot be used; names the source and the field.
        """
        try:
            self._credentials()
            self._load_tls()
        except _FileError as error:
            raise SettingsError(f"INFERPLAN_PROMETHEUS_SOURCES.{name}.{error}") from None

    def headers(self) -> Mapping[str, str]:
        """The administrator's headers and Authorization."""
        try:
            return {**self._source.headers, **self._credentials()}
        except _FileError as error:
            raise PrometheusError(f"its {error}", passing=True) from None

    def tls(self) -> ssl.SSLContext | bool:
        """Trust and client certificate as the files are now; as they were, while they cannot be used."""
        try:
            self._load_tls()
        except _FileError:
            return self._tls
        return self._tls

    def renewed(self) -> bool:
        """Whether the file holds another token or password than the one that was sent."""
        if self._secret is None:
            return False
        try:
            before = self._credentials()
            self._secret.forget()
            return self._credentials() != before
        except _FileError:
            return False

    def _credentials(self) -> dict[str, str]:
        if self._secret is None:
            return {}
        source = self._source
        field = "bearer_token_file" if source.bearer_token_file is not None else "password_file"
        place = f"{field}: {source.bearer_token_file or source.password_file}"
        try:
            secret = self._secret.token()
        except (OSError, UnicodeDecodeError) as error:
            raise _FileError(f"{place} cannot be read ({type(error).__name__})") from None
        if not secret:
            raise _FileError(f"{place} is empty")
        if source.bearer_token_file is None:
            return {"Authorization": f"Basic {_base64(f'{source.username}:{secret}')}"}
        if _TOKEN.fullmatch(secret) is None:
            raise _FileError(f"{place} holds no token (printable ASCII without blanks)")
        return {"Authorization": f"Bearer {secret}"}

    def _load_tls(self) -> None:
        """Makes a new context where a file has changed. Kept connections go on with the one they were made with."""
        source = self._source
        if source.ca_file is None and source.cert_file is None:
            return
        state = tuple(_state(name, getattr(source, name)) for name in ("ca_file", "cert_file", "key_file"))
        if state != self._tls_state:
            self._tls = _context(source)
            self._tls_state = state


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _state(field: str, path: Path | None) -> object:
    """What changes when the file is written or replaced."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError as error:
        raise _FileError(f"{field}: {path} cannot be read ({type(error).__name__})") from None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _context(source: PrometheusSource) -> ssl.SSLContext:
    field, path = "ca_file", source.ca_file
    try:
        context = ssl.create_default_context(cafile=source.ca_file)
        if source.cert_file is not None:
            field, path = "cert_file", source.cert_file
            source.cert_file.read_bytes()  # OpenSSL does not say which of the two could not be read
            if source.key_file is not None:
                field, path = "key_file", source.key_file
                source.key_file.read_bytes()
            # A key with a passphrase fails: without a password, OpenSSL would ask the terminal for one.
            context.load_cert_chain(source.cert_file, source.key_file, password="")
    except ssl.SSLError as error:
        told = "cert_file and key_file" if field == "key_file" else field
        raise _FileError(f"{told}: {path} cannot be used ({error.reason or 'no PEM'})") from None
    except (OSError, ValueError) as error:
        raise _FileError(f"{field}: {path} cannot be read ({type(error).__name__})") from None
    return context


async def open_prometheus(stack: AsyncExitStack, name: str, source: PrometheusSource, watch: Watch) -> HttpPrometheus:
    """A client of this source; the stack closes it.

    Args:
        stack: What closes the connections.
        name: The administrator's name of the source.
        source: Where it is and how it is asked.
        watch: Clock, dice, telemetry.

    Raises:
        SettingsError: A file of the source cannot be used.
    """
    access = FileAccess(source, watch.monotonic)
    access.check(name)
    session = await stack.enter_async_context(foreign_session())
    limits = Limits(source.timeout_seconds, source.response_max_mib * MIB, source.server_name)
    return HttpPrometheus(source.url, session, watch, access, limits)


def foreign_session(connections: int = 16) -> aiohttp.ClientSession:
    """A session for foreign servers: no cookies, no proxies, no decompression of what they send."""
    connector = aiohttp.TCPConnector(limit=connections)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
