"""Text on standard output, whatever a manifest holds."""

import re
import sys

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def encodable(text: str) -> str:
    """Text as it is; half of a surrogate pair, which no encoding has, as its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write(text: str) -> None:
    """Prints text, whatever is in it."""
    sys.stdout.write(encodable(text))


def one_line(text: str) -> str:
    """Text without line ends and control characters, which could move a terminal's cursor."""
    return _CONTROL.sub(" ", text).strip()


def note(command: str, text: str, program: str = "inferplan") -> None:
    """Prints one line beside a command's output: what a person should know, and no error."""
    print(encodable(f"{program} {command}: note: {one_line(text)}"), file=sys.stderr)
