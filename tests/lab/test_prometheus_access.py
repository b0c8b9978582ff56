"""The client of Prometheus shows who it is and checks who answers: tokens, passwords, tenants, certificates."""

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import Authority, Pair
from tests.support.prometheus_client import FINE, SECRET, client, refused, refused_by
from tests.support.raw_server import Asked, RawServer, Write, http, raw_server, writes

from inferplan.observe.prometheus import Answer


async def test_basic_auth_and_a_tenants_header_are_sent(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("open sesame\n", encoding="utf-8")
    async with raw_server(writes(http(200, FINE))) as server:
        fields = {"username": "inferplan", "password_file": password, "headers": {"X-Scope-OrgID": "team-a|team-b"}}
        async with client(server.url, **fields) as prometheus:
            await prometheus.query("up")
        (asked,) = server.asked
    kind, _, value = asked.headers["authorization"].partition(" ")
    assert (kind, base64.b64decode(value)) == ("Basic", b"inferplan:open sesame")
    assert asked.headers["x-scope-orgid"] == "team-a|team-b"
    assert asked.headers["accept-encoding"] == "identity"
    assert "cookie" not in asked.headers


async def test_a_token_that_is_renewed_while_it_runs_is_used_at_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old", encoding="utf-8")
    valid = "old"

    async def checking(asked: Asked, write: Write) -> None:
        known = asked.headers.get("authorization") == f"Bearer {valid}"
        await write(http(200, FINE) if known else http(401, SECRET.encode()))

    async with raw_server(checking) as server:
        async with client(server.url, timeout_seconds=10, bearer_token_file=token) as prometheus:
            assert len((await prometheus.query("up")).samples) == 1
            valid = "new"
            assert await refused(prometheus) == "it refuses access (HTTP status 401)"
            token.write_text("new", encoding="utf-8")
            assert len((await prometheus.query("up")).samples) == 1
            token.unlink()
            assert len((await prometheus.query("up")).samples) == 1  # what was read less than a minute ago
        assert len(server.asked) == 5  # the refused query once, the renewed one twice


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def served_with(pair: Pair, clients: Authority | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    if clients is not None:
        context.load_verify_locations(clients.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def answer_of(server: RawServer, **fields: Any) -> Answer:
    async with client(server.url, timeout_seconds=10, **fields) as prometheus:
        return await prometheus.query("up")


async def test_a_certificate_of_the_named_authority_is_trusted_and_no_other(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    async with raw_server(writes(http(200, FINE)), served_with(authority.sign("server"))) as server:
        assert len((await answer_of(server, ca_file=authority.certificate)).samples) == 1
        assert (await refused_by(server, ca_file=other.certificate)).startswith("its certificate is not trusted (")
        assert (await refused_by(server)).startswith("its certificate is not trusted (")
        assert len(server.asked) == 1


async def test_a_certificate_for_another_name_needs_that_name(authority: Authority) -> None:
    pair = authority.sign("server", "DNS:prometheus.example.com")
    async with raw_server(writes(http(200, FINE)), served_with(pair)) as server:
        assert "mismatch" in await refused_by(server, ca_file=authority.certificate)
        named = {"ca_file": authority.certificate, "server_name": "prometheus.example.com"}
        assert len((await answer_of(server, **named)).samples) == 1


async def test_a_client_certificate_is_shown_and_renewed(authority: Authority) -> None:
    own = authority.sign("first")
    tls = served_with(authority.sign("server"), clients=authority)
    files = {"ca_file": authority.certificate, "cert_file": own.certificate, "key_file": own.key}
    async with raw_server(writes(http(200, FINE)), tls) as server:
        async with client(server.url, timeout_seconds=10, **files) as prometheus:
            await prometheus.query("up")
            renewed = authority.sign("second")
            renewed.key.replace(own.key)
            assert len((await prometheus.query("up")).samples) == 1  # the key alone does not fit: the old pair stays
            renewed.certificate.replace(own.certificate)
            await prometheus.query("up")
        assert [asked.subject for asked in server.asked] == ["first", "first", "second"]


async def test_a_client_without_the_certificate_that_the_server_wants_gets_nothing(authority: Authority) -> None:
    tls = served_with(authority.sign("server"), clients=authority)
    async with raw_server(writes(http(200, FINE)), tls) as server:
        told = await refused_by(server, ca_file=authority.certificate, timeout_seconds=10)
        assert told.startswith("it could not be asked (")  # a reset or TLS's alert, whichever comes first
        assert server.asked == []


async def test_plain_http_on_a_port_of_tls_gets_nothing(authority: Authority) -> None:
    async with raw_server(writes(http(200, FINE)), served_with(authority.sign("server"))) as server:
        plain = server.url.replace("https", "http")
        async with client(plain, timeout_seconds=10) as prometheus:
            assert (await refused(prometheus)).startswith("it could not be asked (")


async def test_tls_on_a_port_of_plain_http_gets_nothing() -> None:
    async with raw_server(writes(http(200, FINE))) as server:
        async with client(server.url.replace("http", "https")) as prometheus:
            assert await refused(prometheus) == "no whole answer within 1 s"  # the server waits for a request's end
        assert server.asked == []
