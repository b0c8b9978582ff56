"""Spellings of host and port: the plain ones are read, every other is refused with one line."""

import pytest

from inferplan.observe.endpoint import EndpointError, endpoint_of, is_endpoint


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("localhost:8000", "localhost", 8000, "localhost:8000"),
        ("LOCALHOST:8000", "localhost", 8000, "localhost:8000"),
        ("127.0.0.1:1", "127.0.0.1", 1, "127.0.0.1:1"),
        ("10.1.2.3:65535", "10.1.2.3", 65535, "10.1.2.3:65535"),
        ("[::1]:8000", "::1", 8000, "[::1]:8000"),
        ("[0:0::0001]:8000", "::1", 8000, "[::1]:8000"),
        ("http://[::1]:8000", "::1", 8000, "[::1]:8000"),
        ("http://llm.serving.svc:8000/", "llm.serving.svc", 8000, "llm.serving.svc:8000"),
        ("HTTP://a:80", "a", 80, "a:80"),
        ("xn--bcher-kva.example:80", "xn--bcher-kva.example", 80, "xn--bcher-kva.example:80"),
    ],
)
def test_plain_spellings_are_read(text: str, host: str, port: int, shown: str) -> None:
    assert is_endpoint(text)
    found = endpoint_of(text)
    assert (found.host, found.port, str(found)) == (host, port, shown)


ODD = [
    ("2130706433:8000", "no address in its usual spelling"),
    ("0x7f.1:8000", "no address in its usual spelling"),
    ("0x7f000001:8000", "no address in its usual spelling"),
    ("127.1:8000", "no address in its usual spelling"),
    ("127.0.0.01:8000", "no address in its usual spelling"),
    ("0177.0.0.1:8000", "no address in its usual spelling"),
    ("127.0.0.1.:8000", "no host name"),
    ("127.0.0.1%00.example:8000", "no host name"),
    ("localhost.:8000", "no host name"),
    ("user@localhost:8000", "no host name"),
    ("user:secret@localhost:8000", "stands in brackets"),
    ("localhost%00:8000", "no host name"),
    ("local\x00host:8000", "no host name"),
    ("bücher.example:8000", "no host name"),
    ("\uff11\uff12\uff17.0.0.1:8000", "no host name"),  # full-width digits
    ("127。0。0。1:8000", "no host name"),
    ("\u212aube:8000", "no host name"),  # Kelvin sign: its lower case is a plain k
    ("a_b:8000", "no host name"),
    (" localhost:8000", "no host name"),
    ("-a:8000", "no host name"),
    ("a..b:8000", "no host name"),
    (f"{'a' * 64}:8000", "no host name"),
    (f"{'a.' * 127}aa:8000", "no host name"),
    (":8000", "no host name"),
    ("localhost:0", '"0" is no port from 1 to 65535'),
    ("localhost:65536", '"65536" is no port from 1 to 65535'),
    ("localhost:00000000080", "is no port from 1 to 65535"),
    (f"localhost:{'9' * 5000}", "is no port from 1 to 65535"),
    ("::1:8000", "stands in brackets, as in"),
    ("fe80::1%eth0:8000", "stands in brackets, as in"),
    ("[fe80::1%eth0]:8000", "no IPv6 address in brackets"),
    ("[127.0.0.1]:8000", "no IPv6 address in brackets"),
    ("[::1", "stands in brackets"),
    ("[::1]8000", "is no host:port"),
    ("https://localhost:8000", '"https" is not allowed'),
    ("file:///etc/passwd", '"file" is not allowed'),
    ("gopher://localhost:8000", '"gopher" is not allowed'),
    ("http://localhost:8000/metrics", "is no host:port"),
    ("http://localhost:8000//", "is no host:port"),
    ("http://localhost:8000?x=1", "is no host:port"),
    ("localhost:8000/../admin", "is no host:port"),
    ("localhost:8000#a", "is no host:port"),
    ("http://localhost", "is no host:port"),
    ("http://http://localhost:8000", "no host name|stands in brackets"),
    ("http://", "is no host:port"),
]


@pytest.mark.parametrize(("text", "told"), ODD)
def test_every_other_spelling_is_refused_with_one_short_line(text: str, told: str) -> None:
    assert is_endpoint(text)
    with pytest.raises(EndpointError, match=told) as refused:
        endpoint_of(text)
    line = str(refused.value)
    assert "\n" not in line
    assert len(line) < 300


@pytest.mark.parametrize("text", ["serving/llama-8b", "my model", "llama:latest", "a/b:80", "x", "localhost", "1/2"])
def test_names_are_no_endpoints(text: str) -> None:
    assert not is_endpoint(text)
