"""Engine versions as Python packages and image tags write them, and their order. Pure."""

import re
from dataclasses import dataclass

_VERSION = re.compile(
    r"v?(?P<numbers>\d{1,9}(?:\.\d{1,9}){0,5})"
    r"(?:[-_.]?(?P<phase>dev|alpha|beta|rc|post|a|b|c)[-_.]?(?P<count>\d{0,9}))?"
    r"(?:[-_+].*|\.[a-z].*)?",
    re.IGNORECASE,
)
_PHASES = {"dev": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "c": -1, "rc": -1, "post": 1}


@dataclass(frozen=True, slots=True, order=True)
class VersionNumber:
    """A version that can be compared with another (the order of PEP 440).

    Attributes:
        numbers: Its dotted numbers, without zeros at the end: (0, 10, 1, 1); 0.12 is 0.12.0.
        phase: -4 dev, -3 alpha, -2 beta, -1 release candidate, 0 release, 1 post-release.
        count: Number of the phase: 3 of "0.12.0.dev3".
    """

    numbers: tuple[int, ...]
    phase: int = 0
    count: int = 0

    def shared(self, other: "VersionNumber") -> int:
        """How many leading numbers the two have in common: 0.14.0 and 0.14.1 have two."""
        width = max(len(self.numbers), len(other.numbers))
        pairs = zip(_padded(self.numbers, width), _padded(other.numbers, width), strict=True)
        return next((index for index, (mine, theirs) in enumerate(pairs) if mine != theirs), width)


def _padded(numbers: tuple[int, ...], width: int) -> tuple[int, ...]:
    return numbers + (0,) * (width - len(numbers))


def version_number(text: str | None) -> VersionNumber | None:
    """A version's place in the order; None for None and for what is no version ("latest").

    What comes behind the version does not count: "0.11.0+cu128" and "v0.11.0-cu128" are 0.11.0.
    """
    match = _VERSION.fullmatch((text or "").strip())
    if match is None:
        return None
    numbers = tuple(int(number) for number in match["numbers"].split("."))
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers = numbers[:-1]
    phase = (match["phase"] or "").lower()
    return VersionNumber(numbers, _PHASES.get(phase, 0), int(match["count"] or 0) if phase else 0)


def known_version(text: str) -> VersionNumber:
    """The number of a release that the package's own data names.

    Raises:
        ValueError: It is no version.
    """
    number = version_number(text)
    if number is None:
        raise ValueError(f"{text!r} is no version")
    return number
