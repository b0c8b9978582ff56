"""Shell patterns, as far as they are literal text with `*` and `?`. Pure.

POSIX.1-2024, 2.14 Pattern Matching Notation.
"""

import re

from inferplan.dialects.shell.state import Pieces
from inferplan.dialects.words import Piece, cut

_SPECIAL = re.compile(r"""[\\\[\]'"$`(){}!+@~]""")
"""What has a further meaning in patterns or is a quote: such patterns are not read."""
MOST_STARS = 3
MOST_LETTERS = 4096
"""Larger patterns and values are not worked out: matching them could take long."""
_SUBSTRING = re.compile(r"\s*(\d{1,9})\s*(?::\s*(\d{1,9})\s*)?")


def compiled(pattern: str) -> "re.Pattern[str] | None":
    """A pattern as a regular expression; None where it is not a simple one."""
    if _SPECIAL.search(pattern) or pattern.count("*") > MOST_STARS:
        return None
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(letter) or re.escape(letter) for letter in pattern), re.DOTALL)


def edited(value: Pieces, operator: str, argument: str) -> Pieces | None:
    """What `${NAME…}` leaves of a value; None where that is not known."""
    if any(piece.unknown for piece in value) or sum(len(piece.text) for piece in value) > MOST_LETTERS:
        return None
    if operator in {"^^", ",,"} and not argument:
        return _letters(value, upper=operator == "^^")
    if operator == ":":
        return _substring(value, argument)
    if operator in {"/", "//"}:
        return _replaced(value, argument, everywhere=operator == "//")
    if operator in {"#", "##", "%", "%%"}:
        return _removed(value, operator, argument)
    return None


def _letters(value: Pieces, *, upper: bool) -> Pieces | None:
    text = "".join(piece.text for piece in value)
    if not text.isascii():
        return None
    return (Piece(text.upper() if upper else text.lower()),)


def _substring(value: Pieces, argument: str) -> Pieces | None:
    match = _SUBSTRING.fullmatch(argument)
    if match is None:
        return None
    start = int(match[1])
    length = sum(len(piece.text) for piece in value)
    return cut(value, start, start + int(match[2]) if match[2] else length)


def _replaced(value: Pieces, argument: str, *, everywhere: bool) -> Pieces | None:
    pattern, _, by = argument.partition("/")
    expression = compiled(pattern)
    if expression is None or not pattern or pattern[0] in "#%" or _SPECIAL.search(by) or "&" in by:
        return None
    text = "".join(piece.text for piece in value)
    return (Piece(expression.sub(lambda _: by, text, count=0 if everywhere else 1)),)


def _removed(value: Pieces, operator: str, pattern: str) -> Pieces | None:
    """`#` and `##` remove the shortest and longest match at the front, `%` and `%%` at the end."""
    expression = compiled(pattern)
    if expression is None:
        return None
    text = "".join(piece.text for piece in value)
    places = range(len(text) + 1)
    if operator in {"##", "%"}:
        places = places[::-1]
    front = operator.startswith("#")
    for place in places:
        if expression.fullmatch(text[:place] if front else text[place:]):
            return cut(value, place, len(text)) if front else cut(value, 0, place)
    return value
