"""Edits of YAML text: what is loaded is what was asked for, and nothing else of the text has changed."""

import copy
from typing import Any

import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.properties.strategies import quick

from inferplan.dialects.yaml_text import ListInsert, ListRemove, StringEdit, edit_text

Path = tuple[str | int, ...]

WORDS = (
    "vllm",
    "serve",
    "--max-num-seqs",
    "64",
    "--a=b",
    "it's",
    '"q"',
    "ü𝒳",
    "yes",
    "1e3",
    "a: b",
    "#c",
    "[x]",
    "{{.N}}",
)
values = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join),
    st.lists(st.sampled_from(WORDS), max_size=5).map("\n".join),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(lambda words: " \\\n  ".join(words) + "\n"),
    st.text(max_size=8),
)
scalars = values | st.none() | st.integers() | st.booleans() | st.floats(allow_nan=False)
trees = st.dictionaries(
    st.sampled_from(["args", "command", "env", "ü", "64", "a b"]),
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
)
styles = st.fixed_dictionaries(
    {
        "default_flow_style": st.sampled_from([False, None, True]),
        "default_style": st.sampled_from([None, None, "'", '"', "|", ">"]),
        "indent": st.sampled_from([2, 4]),
        "width": st.sampled_from([20, 80, 4096]),
        "allow_unicode": st.booleans(),
        "line_break": st.sampled_from(["\n", "\r\n"]),
        "explicit_start": st.booleans(),
    }
)

ODD_BREAKS = "\x85\u2028\u2029"  # line breaks of YAML 1.1 that nobody writes

LAYOUTS = (
    """# head
a:   # why
  - --max-num-seqs=32   # a comment
  -  "two words"
  # about the next
  - 'it''s'
  - |
    vllm serve m \\
      --a 1 \\

      --b "2"

  - >-
    python3 -m x
    --c 3

    --d
b: ["--e", 'f', g] # h
""",
    """{
  "a": ["x", "y z"],
  "b": [
    "--f",
    "1"
  ],
  "c": "d\\te"
}
""",
    """a: ["--e", # one
     "f",   # two
     g
    ]
b:
- "bash x.sh;
   python3 -m y \\"z\\"
   --g 1"
- plain words that
  go on here
- |+
  kept

c: &anchor
  - x
d: !!str tagged
""",
)


def places(node: Any, kind: type, path: Path = ()) -> list[Path]:
    found = [path] if isinstance(node, kind) else []
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return found + [place for key, value in entries for place in places(value, kind, (*path, key))]


def at(node: Any, path: Path) -> Any:
    for key in path:
        node = node[key]
    return node


def lines_of(text: str, path: Path) -> tuple[int, int]:
    """First and last line on which a node stands."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert node is not None
    for key in path:
        if isinstance(node, yaml.MappingNode):
            node = next(value for name, value in node.value if name.value == str(key) and name.tag.endswith("str"))
        else:
            node = node.value[key]
    return node.start_mark.line, node.end_mark.line


def outside(text: str, path: Path) -> tuple[list[str], list[str]]:
    """The lines before a node, and those behind it."""
    first, last = lines_of(text, path)
    lines = text.splitlines(keepends=True)
    return lines[:first], lines[last + 1 :]


texts = st.one_of(
    st.tuples(trees, styles).map(lambda drawn: yaml.safe_dump(drawn[0], **drawn[1])), st.sampled_from(LAYOUTS)
)
inserted = st.one_of(
    st.sampled_from(["64", "--n=8", "x y", " z", "a: b", '"', "'", "\\", "\n", "ü", "", "#"]), st.text(max_size=5)
)


@quick
@given(texts, st.data(), inserted)
def test_a_changed_string_loads_as_asked_and_no_other_line_changes(text: str, data: st.DataObject, new: str) -> None:
    tree = yaml.safe_load(text)
    strings = places(tree, str)
    assume(strings)
    path = data.draw(st.sampled_from(strings))
    value = at(tree, path)
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, len(value)))
    result = edit_text(text, [StringEdit(0, path, start, end, new)])
    if not isinstance(result, str):
        odd = any(mark in text for mark in ODD_BREAKS)
        assert odd or "block" in result.reason or "line break" in result.reason, result
        return
    expected = copy.deepcopy(tree)
    at(expected, path[:-1])[path[-1]] = value[:start] + new + value[end:]
    assert yaml.safe_load(result) == expected
    before, behind = outside(text, path)
    lines = result.splitlines(keepends=True)
    assert lines[: len(before)] == before
    assert lines[len(lines) - len(behind) :] == behind


@quick
@given(texts, st.data(), st.sampled_from(["n64", "--n=8", "n_n", "n"]))
def test_what_was_put_into_a_string_can_be_taken_out_again(text: str, data: st.DataObject, new: str) -> None:
    tree = yaml.safe_load(text)
    strings = [path for path in places(tree, str) if len(at(tree, path)) > len("1e3")]  # that one needs quotes for Go
    assume(strings and not any(mark in text for mark in ODD_BREAKS))
    path = data.draw(st.sampled_from(strings))
    value = at(tree, path)
    letters = [index for index, letter in enumerate(value) if letter.isascii() and letter.isalpha()]
    assume(letters)
    start = data.draw(st.sampled_from(letters)) + 1
    result = edit_text(text, [StringEdit(0, path, start, start, new)])
    assert isinstance(result, str), result
    again = edit_text(result, [StringEdit(0, path, start, start + len(new), "")])
    assert again == text


@quick
@given(texts, st.data(), st.lists(st.one_of(values, st.sampled_from(WORDS)), min_size=1, max_size=3))
def test_what_was_put_into_a_list_loads_as_asked_and_can_be_taken_out_again(
    text: str, data: st.DataObject, new: list[str]
) -> None:
    tree = yaml.safe_load(text)
    lists = places(tree, list)
    assume(lists)
    path = data.draw(st.sampled_from(lists))
    items = at(tree, path)
    index = data.draw(st.integers(0, len(items)))
    result = edit_text(text, [ListInsert(0, path, index, tuple(new))])
    if not isinstance(result, str):
        assert any(words in result.reason for words in ("another list", "behind its dash")), result
        return
    expected = copy.deepcopy(tree)
    at(expected, path)[index:index] = new
    assert yaml.safe_load(result) == expected
    assert edit_text(result, [ListRemove(0, path, index, len(new))]) == text


@quick
@given(texts, st.data())
def test_what_is_taken_out_of_a_list_leaves_the_rest(text: str, data: st.DataObject) -> None:
    tree = yaml.safe_load(text)
    lists = [path for path in places(tree, list) if at(tree, path)]
    assume(lists)
    path = data.draw(st.sampled_from(lists))
    index = data.draw(st.integers(0, len(at(tree, path)) - 1))
    count = data.draw(st.integers(1, len(at(tree, path)) - index))
    result = edit_text(text, [ListRemove(0, path, index, count)])
    if not isinstance(result, str):
        assert any(words in result.reason for words in ("empty", "list", "dash", "comments")), result
        return
    expected = copy.deepcopy(tree)
    del at(expected, path)[index : index + count]
    assert yaml.safe_load(result) == expected
