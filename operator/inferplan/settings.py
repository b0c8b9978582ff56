"""The operator's settings, from the environment: INFERPLAN_<NAME>."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_URL = re.compile(r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")


class SettingsError(ValueError):
    """The environment names a setting that cannot be used; one line for people."""


class PrometheusSource(BaseModel):
    """A Prometheus that the administrator trusts; instances can only choose its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    bearer_token_file: Path | None = None
    ca_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        if _URL.match(url) is None:
            raise ValueError("must be http://host[:port][/path] or https://…, without user, query or fragment")
        return url.rstrip("/")


class Settings(BaseSettings):
    """All settings of `inferplan operator`."""

    model_config = SettingsConfigDict(env_prefix="INFERPLAN_", frozen=True, extra="ignore")

    namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces to watch; none means the whole cluster."""
    resync_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """Every instance is looked at once in this time, even when nothing changed."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    """Instances that are looked at at once."""
    prometheus_sources: Annotated[dict[str, PrometheusSource], NoDecode] = {}
    """Name → Prometheus; spec.metrics.prometheusRef chooses by name."""
    listen_address: str = "0.0.0.0"
    listen_port: Annotated[int, Field(ge=0, le=65_535)] = 8002
    """Health and metrics; 0 takes any free port."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"

    @field_validator("namespaces", mode="before")
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

    @field_validator("prometheus_sources", mode="before")
    @classmethod
    def _sources(cls, value: object) -> object:
        """Reads JSON; a bare URL is a source without credentials."""
        plain = json.loads(value or "{}") if isinstance(value, str) else value
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
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"INFERPLAN_{place.upper()}: {first['msg']} (it is {first['input']!r})") from None
