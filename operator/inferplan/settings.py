"""The operator's settings, from the environment: INFERPLAN_<NAME>."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_URL = re.compile(r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")
_HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,1022}[\x21-\x7e])?")
_OWN_HEADERS = frozenset(
    {"accept", "accept-encoding", "authorization", "connection", "cookie", "expect", "host", "keep-alive", "te"}
    | {"trailer", "transfer-encoding", "upgrade", "user-agent"}
)
"""Headers that the client or HTTP itself sets (RFC 9110 section 7.6.1 for those of one connection)."""
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_USERNAME = re.compile(r"[^:\x00-\x1f\x7f]{1,256}")  # RFC 7617: no colon, no control character
_HEADERS_MAX = 16


class SettingsError(ValueError):
    """The environment names a setting that cannot be used; one line for people."""


class PrometheusSource(BaseModel):
    """A Prometheus that the administrator trusts; instances can only choose its name.

    Attributes:
        url: Base URL; the API is below it at /api/v1.
        bearer_token_file: File of a bearer token.
        username: Name for basic authentication, with `password_file`.
        password_file: File of its password.
        ca_file: Certificates that the server's is checked against, PEM; None for the machine's own.
        cert_file: Client certificate with its chain, PEM, with `key_file`.
        key_file: Its private key, PEM, without a passphrase.
        server_name: Name in the server's certificate, where it is not the URL's host.
        headers: Headers sent along, such as a tenant's X-Scope-OrgID.
        timeout_seconds: Time of one query, retries included.
        response_max_mib: Size of one answer, MiB: a histogram of 1,500 pods is about 7 MB.
        namespace_label: Label of the engines' series that holds the pod's namespace.
        pod_label: Label that holds the pod's name.
        history_hours: Past hours that are read, for the load by hour and for calibration; 0 for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    bearer_token_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None
    headers: Annotated[dict[str, str], Field(repr=False, max_length=_HEADERS_MAX)] = {}
    timeout_seconds: Annotated[float, Field(ge=1, le=120)] = 10.0
    response_max_mib: Annotated[int, Field(ge=1, le=512)] = 64
    namespace_label: str = "namespace"
    pod_label: str = "pod"
    history_hours: Annotated[int, Field(ge=0, le=168)] = 72

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        if _URL.fullmatch(url) is None or not _has_port(url):
            raise ValueError("must be http://host[:port][/path] or https://…, without user, query or fragment")
        return url.rstrip("/")

    @field_validator("username")
    @classmethod
    def _plain_username(cls, name: str) -> str:
        return _matching(_USERNAME, name, "is no user name (without colons and control characters)")

    @field_validator("server_name")
    @classmethod
    def _host(cls, name: str) -> str:
        return _matching(_HOST_NAME, name, "is no host name")

    @field_validator("namespace_label", "pod_label")
    @classmethod
    def _label(cls, name: str) -> str:
        return _matching(_LABEL_NAME, name, 'is no label name (letters, digits and "_", not first "__")')

    @field_validator("headers")
    @classmethod
    def _plain_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            _matching(_HEADER_NAME, name, 'is no header name (letters, digits, "-", "_" and ".")')
            low = name.lower()
            if low in _OWN_HEADERS or low.startswith(("content-", "proxy-")):
                raise ValueError(f'"{name}" cannot be set; credentials have fields of their own')
            if _HEADER_VALUE.fullmatch(value) is None:
                raise ValueError(f'the value of "{name}" must be 1 to 1,024 printable ASCII characters')
        if len({name.lower() for name in headers}) != len(headers):
            raise ValueError("a name is there twice; upper and lower case are the same")
        return headers

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for one, other in (("username", "password_file"), ("cert_file", "key_file")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other} belong together")
        if self.bearer_token_file is not None and self.username is not None:
            raise ValueError("bearer_token_file and username are two ways to log in; only one can be set")
        tls = [name for name in ("ca_file", "cert_file", "server_name") if getattr(self, name) is not None]
        if tls and not self.url.startswith("https://"):
            raise ValueError(f"{tls[0]} needs a url that starts with https://")
        if self.namespace_label == self.pod_label:
            raise ValueError("namespace_label and pod_label must be two labels")
        return self


def _has_port(url: str) -> bool:
    """Whether host and port can be told apart, and the port is one."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _matching(pattern: re.Pattern[str], text: str, told: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(f"{json.dumps(text[:_SHOWN])} {told}")
    return text


_SHOWN = 128


class Settings(BaseSettings):
    """All settings of `inferplan operator`."""

    model_config = SettingsConfigDict(env_prefix="INFERPLAN_", frozen=True, extra="ignore")

    namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces to watch; none means the whole cluster."""
    resync_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """Every instance is looked at once in this time, even when nothing changed."""
    metrics_seconds: Annotated[float, Field(ge=1, le=3_600)] = 60.0
    """Measurements of a source serve every look for so long."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    """Instances that are looked at at once."""
    apply: bool = True
    """Whether plans may be applied at all; false keeps every workload as it is, whatever instances ask for."""
    leader_election: bool = True
    """Whether of several operators only the one acts that holds the Lease; without, there must never be two."""
    lease_namespace: str = ""
    """Where that Lease is; by default the pod's own namespace, outside of a pod inferplan-system."""
    prometheus_sources: Annotated[dict[str, PrometheusSource], NoDecode] = {}
    """Name → Prometheus; spec.metrics.prometheusRef chooses by name."""
    listen_address: str = "0.0.0.0"
    listen_port: Annotated[int, Field(ge=0, le=65_535)] = 8002
    """HTTP API, health and metrics; 0 takes any free port."""
    authentication: bool | None = None
    """Whether those who read instances and plans over HTTP must send a Kubernetes token and have the right to; by
    default where the operator runs in a pod. Approving needs a token in any case."""
    scrape_allow: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.0/8", "::1")
    """Engines that POST /api/v1/analyze may ask for their pages: CIDRs, addresses, host names, each with or without
    port. By default this pod alone."""
    git_hosts: Annotated[tuple[str, ...], NoDecode] = ("github.com", "api.github.com", "gitlab.com")
    """Git servers and their APIs that an instance's apply.git may name, as in `scrape_allow`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"

    @field_validator("namespaces", "scrape_allow", "git_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Reads "a,b", a JSON list, or a sequence."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return json.loads(value)
        return tuple(name.strip() for name in value.split(",") if name.strip())

    @field_validator("namespaces")
    @classmethod
    def _labels(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        bad = [name for name in names if _DNS_LABEL.match(name) is None]
        if bad:
            raise ValueError(f'"{bad[0]}" is no namespace name (lower-case letters, digits and "-")')
        return names

    @field_validator("lease_namespace")
    @classmethod
    def _namespace(cls, name: str) -> str:
        return name and _matching(_DNS_LABEL, name, 'is no namespace name (lower-case letters, digits and "-")')

    @field_validator("prometheus_sources", mode="before")
    @classmethod
    def _sources(cls, value: object) -> object:
        """Reads JSON; a bare URL is a source without credentials."""
        plain = json.loads(value or "{}") if isinstance(value, str) else value
        bad = [name for name in plain if _DNS_LABEL.fullmatch(name) is None] if isinstance(plain, dict) else []
        if bad:
            raise ValueError(f'{json.dumps(bad[0][:_SHOWN])} is no name (lower-case letters, digits and "-")')
        if not isinstance(plain, dict):
            raise ValueError('must be a JSON object such as {"default": "http://prometheus:9090"}')  # noqa: TRY004  pydantic turns only a ValueError into a finding
        return {name: {"url": source} if isinstance(source, str) else source for name, source in plain.items()}


def load_settings() -> Settings:
    """Settings from the environment.

    Raises:
        SettingsError: A variable cannot be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_told(error.errors()[0])) from None


def _told(found: ErrorDetails) -> str:
    """A finding in one line. A source can hold secrets in wrong places, so of it only numbers are repeated."""
    variable, *path = (str(part) for part in found["loc"])
    place = ".".join((f"INFERPLAN_{variable.upper()}", *path))
    if found["type"] == "extra_forbidden":
        text = f"{place}: is no field; there are: {', '.join(PrometheusSource.model_fields)}"
    else:
        shown = variable != "prometheus_sources" or isinstance(found["input"], int | float)
        text = f"{place}: {found['msg']}" + (f" (it is {found['input']!r})" if shown else "")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
