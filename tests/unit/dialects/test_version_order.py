"""Versions as images and engines write them, and their order."""

import pytest

from inferplan.dialects.version_order import VersionNumber, version_number


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.33.0", VersionNumber((0, 33))),
        ("v0.33", VersionNumber((0, 33))),
        ("0.10.1.1", VersionNumber((0, 10, 1, 1))),
        ("0.33.0rc1+cu130", VersionNumber((0, 33), -1, 1)),
        ("latest", None),
        ("", None),
        (None, None),
        ("9" * 5000 + ".1", None),
    ],
)
def test_a_version_is_its_numbers_and_its_phase(text: str | None, version: VersionNumber | None) -> None:
    assert version_number(text) == version
