"""Engine versions as three numbers, and where a version's defaults are found."""

import re

from inferplan.dialects.effective import defaults, effective

__all__ = ["Version", "defaults", "effective", "parse_version"]

Version = tuple[int, int, int]

_VERSION = re.compile(r"^v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?!\d)")


def parse_version(text: str | None) -> Version | None:
    """Major, minor, patch: "v0.33.0" gives (0, 33, 0); None for None and for what is no version."""
    match = _VERSION.match(text or "")
    if match is None:
        return None
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch or 0)
