"""The administrator's list: what it allows, what no range ever means, and what hides in an address."""

from ipaddress import ip_address

import pytest

from inferplan.observe.allow_list import DEFAULT, AllowListError, allow_list
from inferplan.observe.endpoint import endpoint_of

EVERYTHING = ("0.0.0.0/0", "::/0")


def allowed(text: str, *entries: str) -> list[str] | None:
    """Addresses that may be connected to; None where a name has to be looked up first."""
    found = allow_list(entries).known_addresses(endpoint_of(text))
    return None if found is None else [str(address) for address in found]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("localhost:8000", ["127.0.0.1", "::1"]),
        ("127.0.0.1:8000", ["127.0.0.1"]),
        ("127.255.255.254:8000", ["127.255.255.254"]),
        ("[::1]:8000", ["::1"]),
        ("[::ffff:127.0.0.1]:8000", ["127.0.0.1"]),  # what it is, in its own family
        ("[::ffff:10.0.0.1]:8000", []),
        ("[::127.0.0.1]:8000", []),
        ("[64:ff9b::7f00:1]:8000", []),
        ("[::ffff:0:127.0.0.1]:8000", []),
        ("[2002:7f00:1::]:8000", []),
        ("[::2]:8000", []),
        ("[::]:8000", []),
        ("0.0.0.0:8000", []),
        ("10.0.0.1:8000", []),
        ("169.254.169.254:80", []),
        ("engine.lab:8000", []),
        ("localhost.evil.example:8000", []),
        ("a.localhost:8000", []),
    ],
)
def test_by_default_only_this_machine_is_allowed(text: str, addresses: list[str]) -> None:
    assert allowed(text, *DEFAULT) == addresses


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "0.0.0.0", "[::]", "[fe80::1]", "[fec0::1]", "[ff02::1]", "[fd00:ec2::254]",
        "[fd20:ce::254]", "[::ffff:169.254.169.254]", "[::169.254.169.254]", "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]", "[2001:0:1::1]", "[64:ff9b:1::a9fe:a9fe]", "[fd00:ec2::23]", "[fd00:ec2::253]",
        "[::ffff:0:169.254.169.254]", "[::ffff:0:a9fe:a9fe]",
    ],
)  # fmt: skip
def test_no_range_ever_means_a_special_address(address: str) -> None:
    assert allowed(f"{address}:80", *EVERYTHING) == []
    assert allowed(f"{address}:80", *EVERYTHING, "169.254.0.0/16", "fe80::/10", "ff00::/8", "2001::/32") == []


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fe80::1", "0.0.0.0"])
def test_a_special_address_is_allowed_where_the_list_has_exactly_it(address: str) -> None:
    spelled = f"[{address}]:80" if ":" in address else f"{address}:80"
    assert allowed(spelled, address) == [address]
    assert allowed(spelled, f"{address}/{128 if ':' in address else 32}") == [address]
    assert allowed(spelled.replace(":80", ":81"), spelled) == []


def test_an_address_with_another_inside_is_allowed_only_with_it() -> None:
    assert allowed("[64:ff9b::a00:1]:80", "64:ff9b::/96") == []
    assert allowed("[64:ff9b::a00:1]:80", "64:ff9b::/96", "10.0.0.0/8") == ["64:ff9b::a00:1"]
    assert allowed("[2002:a00:1::5]:80", "2002::/16") == []
    assert allowed("[2002:a00:1::5]:80", "2002::/16", "10.0.0.1") == ["2002:a00:1::5"]
    assert allowed("[64:ff9b::7f00:1]:80", *EVERYTHING) == ["64:ff9b::7f00:1"]  # 0.0.0.0/0 means loopback as well


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.255.0.1:1", "11.0.0.1:1"),
        ("10.0.0.0/8:8000", "10.0.0.1:8000", "10.0.0.1:8001"),
        ("10.1.2.3", "10.1.2.3:9", "10.1.2.4:9"),
        ("10.1.2.3:8000", "10.1.2.3:8000", "10.1.2.3:8001"),
        ("::ffff:10.1.2.3", "10.1.2.3:8000", "10.1.2.4:8000"),
        ("fd00::/8", "[fd12::1]:1", "[fe00::1]:1"),
        ("[fd00::/8]:8000", "[fd12::1]:8000", "[fd12::1]:8001"),
        ("[fd00::1]:8000", "[fd00::1]:8000", "[fd00::1]:22"),
        ("[fd00::1]", "[fd00::1]:22", "[fd00::2]:22"),
    ],
)
def test_entries_may_be_ranges_and_addresses_with_or_without_port(entry: str, inside: str, outside: str) -> None:
    assert allowed(inside, entry) == [str(endpoint_of(inside).address)]
    assert allowed(outside, entry) == []


def test_a_name_is_looked_up_only_where_the_list_has_it() -> None:
    assert allowed("engine.lab:8000", "engine.lab") is None
    assert allowed("ENGINE.lab:8000", "Engine.Lab:8000") is None
    assert allowed("engine.lab:8001", "engine.lab:8000") == []
    assert allowed("x.engine.lab:8000", "engine.lab") == []
    assert allowed("engine.lab:8000", *EVERYTHING) == []


def test_localhost_is_never_looked_up() -> None:
    assert allowed("localhost:8000", "localhost") == []
    assert allowed("localhost:8000", "127.0.0.1:8000") == ["127.0.0.1"]
    assert allowed("localhost:8001", "127.0.0.1:8000") == []


@pytest.mark.parametrize(
    ("address", "result"),
    [
        ("10.0.0.1", True),
        ("8.8.8.8", True),
        ("fd00::1", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("::ffff:0:7f00:1", False),
        ("fd00:ec2::23", False),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("2002:a9fe:a9fe::", False),
        ("0.0.0.0", False),
        ("fe80::1", False),
    ],
)
def test_a_listed_name_leads_anywhere_but_into_this_machine_and_to_special_addresses(
    address: str, *, result: bool
) -> None:
    assert allow_list(["engine.lab"]).allows_resolved(ip_address(address), 8000) is result


def test_a_listed_name_may_lead_to_this_machine_where_the_list_has_it_too() -> None:
    both = allow_list(["engine.lab", "127.0.0.1:8000"])
    assert both.allows_resolved(ip_address("127.0.0.1"), 8000)
    assert not both.allows_resolved(ip_address("127.0.0.1"), 22)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0.0/8:0",
        "a b",
        "http://a",
        "[::1",
        "[engine.lab]:80",
        "[::1]x",
        "*.lab",
        "127.1",
        "a:b:c",
    ],
)
def test_an_entry_that_is_none_is_refused_with_one_line(entry: str) -> None:
    with pytest.raises(AllowListError, match="no address, CIDR or host name, with or without port") as refused:
        allow_list([entry])
    assert "\n" not in str(refused.value)


def test_an_empty_list_allows_nothing() -> None:
    assert allowed("127.0.0.1:8000") == []
