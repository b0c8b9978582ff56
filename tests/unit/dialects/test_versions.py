"""Versions as three numbers."""

import pytest

from inferplan.dialects.versions import parse_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.33.0", (0, 33, 0)),
        ("v0.33", (0, 33, 0)),
        ("0.10.1.1", (0, 10, 1)),
        ("0.33.0rc1+cu130", (0, 33, 0)),
        ("latest", None),
        ("", None),
        (None, None),
        ("9" * 5000 + ".1", None),
    ],
)
def test_a_version_is_major_minor_patch(text: str | None, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version
