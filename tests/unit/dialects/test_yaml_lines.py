"""On which line of a YAML text something stands."""

import pytest

from inferplan.dialects.yaml_edit.lines import Lines
from inferplan.dialects.yaml_edit.nodes import Path

TEXT = """\
# a comment
kind: List
---
a:
  - plain
  - "on two
    lines"
  - |
    first

    third word
  - >-
    folded
    text
b: &shared {x: [1, two]}
c: *shared
d:
  <<: *shared
"""


@pytest.mark.parametrize(
    ("path", "position", "line"),
    [
        (("a", 0), 0, 5),
        (("a", 1), 0, 6),
        (("a", 1), 7, 7),
        (("a", 2), 0, 9),
        (("a", 2), 7, 11),
        (("a", 2), 13, 11),
        (("a", 3), 0, 13),
        (("a", 3), 7, 14),
        (("b", "x", 1), 0, 15),
        (("b", "x", 0), 5, 15),
        (("c", "x", 1), 0, 15),
        (("d", "x", 1), 0, 15),
        (("a", 9), 0, 5),
        (("nothing", "here"), 0, 4),
        (("a", 0, "deeper"), 0, 5),
        (("a", 0), 99, 5),
    ],
)
def test_a_character_of_a_string_has_its_line_else_what_is_nearest(path: Path, position: int, line: int) -> None:
    assert Lines(TEXT).line(1, path, position) == line
    assert Lines("\ufeff" + TEXT).line(1, path, position) == line


def test_json_and_other_line_ends_have_lines_too() -> None:
    assert Lines('{"a":\n\t["x",\n\t"y"]}').line(0, ("a", 1)) == 3
    assert Lines("a:\r\n  - x\r\n  - y z\r\n").line(0, ("a", 1), 2) == 3


def test_there_is_no_line_where_there_is_no_yaml_or_no_such_document() -> None:
    assert Lines("a: [1\n").line(0, ()) is None
    assert Lines("a: 1").line(1, ()) is None
    assert Lines("a: 1").line(-1, ()) is None
