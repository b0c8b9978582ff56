"""Credentials and certificates out of files: what is sent, what follows a change, what a file can be wrong about."""

import base64
import os
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from inferplan.kube.connection import TOKEN_FILE_SECONDS
from inferplan.observe.prometheus import PrometheusError, Watch
from inferplan.observe.prometheus_session import FileAccess, open_prometheus
from inferplan.settings import PrometheusSource, SettingsError


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_token_is_sent_with_the_administrators_headers(written: Callable[[str, str], Path]) -> None:
    token = written("token", "abc.def-1\n")
    source = PrometheusSource(url="http://x", bearer_token_file=token, headers={"X-Scope-OrgID": "team-a"})
    assert FileAccess(source, Clock()).headers() == {"X-Scope-OrgID": "team-a", "Authorization": "Bearer abc.def-1"}


def test_a_name_and_a_password_are_sent_as_utf8(written: Callable[[str, str], Path]) -> None:
    source = PrometheusSource(url="http://x", username="jürgen", password_file=written("password", "pä:ss wort\n"))
    (value,) = FileAccess(source, Clock()).headers().values()
    scheme, _, text = value.partition(" ")
    assert (scheme, base64.b64decode(text).decode()) == ("Basic", "jürgen:pä:ss wort")


def test_without_credentials_there_is_nothing_to_renew() -> None:
    access = FileAccess(PrometheusSource(url="http://x"), Clock())
    assert access.headers() == {}
    assert access.tls() is True
    assert not access.renewed()


def test_a_renewed_token_is_read_within_a_minute(written: Callable[[str, str], Path]) -> None:
    clock = Clock()
    access = FileAccess(PrometheusSource(url="http://x", bearer_token_file=written("token", "old")), clock)
    assert access.headers()["Authorization"] == "Bearer old"
    written("token", "new")
    clock.now = TOKEN_FILE_SECONDS - 1
    assert access.headers()["Authorization"] == "Bearer old"
    clock.now = TOKEN_FILE_SECONDS
    assert access.headers()["Authorization"] == "Bearer new"


def test_a_refused_token_is_read_again_at_once(written: Callable[[str, str], Path]) -> None:
    token = written("token", "old")
    access = FileAccess(PrometheusSource(url="http://x", bearer_token_file=token), Clock())
    assert access.headers()["Authorization"] == "Bearer old"
    assert not access.renewed()
    written("token", "new")
    assert access.renewed()
    assert access.headers()["Authorization"] == "Bearer new"
    token.unlink()
    assert not access.renewed()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("two words", "holds no token"),
        ("a\r\nHost: b", "holds no token"),
        ("tökén", "holds no token"),
    ],
)
def test_a_file_that_holds_no_token_is_told_at_the_start_and_later(
    text: str, told: str, written: Callable[[str, str], Path]
) -> None:
    token = written("token", text)
    access = FileAccess(PrometheusSource(url="http://x", bearer_token_file=token), Clock())
    with pytest.raises(SettingsError) as start:
        access.check("team")
    assert str(start.value).startswith(f"INFERPLAN_PROMETHEUS_SOURCES.team.bearer_token_file: {token} {told}")
    with pytest.raises(PrometheusError) as later:
        access.headers()
    assert str(later.value).startswith(f"its bearer_token_file: {token} {told}")
    assert "\n" not in str(later.value)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"bearer_token_file": "{}/none"}, "bearer_token_file"),
        ({"bearer_token_file": "{}"}, "bearer_token_file"),  # a folder
        ({"bearer_token_file": "{}/binary"}, "bearer_token_file"),
        ({"username": "me", "password_file": "{}/none"}, "password_file"),
        ({"ca_file": "{}/none"}, "ca_file"),
        ({"ca_file": "{}"}, "ca_file"),
        ({"cert_file": "{}/none", "key_file": "{}/text"}, "cert_file"),
        ({"cert_file": "{}/text", "key_file": "{}/none"}, "key_file"),
    ],
)
async def test_a_file_that_cannot_be_read_stops_the_start(fields: dict[str, str], field: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no PEM", encoding="utf-8")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    placed: dict[str, Any] = {name: value.format(tmp_path) for name, value in fields.items()}
    source = PrometheusSource(url="https://x", **placed)
    async with AsyncExitStack() as stack:
        with pytest.raises(SettingsError, match=rf"^INFERPLAN_PROMETHEUS_SOURCES\.team\.{field}: .* cannot be read \("):
            await open_prometheus(stack, "team", source, Watch(Clock(), lambda low, _: low))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"ca_file": "{}/text"}, "team.ca_file: "),
        ({"cert_file": "{}/text", "key_file": "{}/text"}, "team.cert_file and key_file: "),
    ],
)
def test_a_file_that_is_no_certificate_stops_the_start(fields: dict[str, str], told: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no PEM", encoding="utf-8")
    placed: dict[str, Any] = {name: value.format(tmp_path) for name, value in fields.items()}
    with pytest.raises(SettingsError, match="cannot be used") as error:
        FileAccess(PrometheusSource(url="https://x", **placed), Clock()).check("team")
    assert told in str(error.value)


# A root certificate, valid for a hundred years: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes
ROOT = """\
-----BEGIN CERTIFICATE-----
MIIBiDCCAS+gAwIBAgIUJ1Ng29gYiL6LwRINQIekt4zpo5kwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOaW5mZXJwbGFuIHRlc3QwIBcNMjYxMTI2MDM1MzExWhgPMjEy
NjExMDIwMzUzMTFaMBkxFzAVBgNVBAMMDmluZmVycGxhbiB0ZXN0MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEYsyeBJxes18g2JT5BIwZ6dbU9GwiRIeL4DSOT6C0
5aGzL/sQYRYzojhVuUxfdjLjPdgK9pZOBt99QJeWEN6zeKNTMFEwHQYDVR0OBBYE
FFg6eVf4EilQnclyHxEe9c+6yeQgMB8GA1UdIwQYMBaAFFg6eVf4EilQnclyHxEe
9c+6yeQgMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgaU8edEis
svf/wMJUyXOZ/Ic+Ndc36JZLhWaR2b2Ztg0CIC1/eervq3U+dK1631yFWpozJy6X
JokweZfWNArGDmiS
-----END CERTIFICATE-----
"""


def test_certificates_are_loaded_again_when_a_file_changes(written: Callable[[str, str], Path]) -> None:
    path = written("ca.pem", ROOT)
    access = FileAccess(PrometheusSource(url="https://x", ca_file=path), Clock())
    first = access.tls()
    assert isinstance(first, ssl.SSLContext)
    assert access.tls() is first
    os.utime(path, ns=(1, 1))
    second = access.tls()
    assert second is not first
    written("ca.pem", "half written")
    assert access.tls() is second  # what worked stays until the file can be used
    path.unlink()
    assert access.tls() is second
    written("ca.pem", ROOT)
    assert access.tls() not in (first, second)
