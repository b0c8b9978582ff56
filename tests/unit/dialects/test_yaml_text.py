"""Edits inside YAML text that leave every other byte alone."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from inferplan.dialects.words import NotEditable
from inferplan.dialects.yaml_text import Edit, ListInsert, ListRemove, StringEdit, edit_text


def replace(text: str, old: str, new: str, path: tuple[str | int, ...] = ("a",)) -> StringEdit:
    """An edit of the first string below the path that holds `old`."""
    value: Any = yaml.safe_load(text.removeprefix("\ufeff"))
    for key in path:
        value = value[key]
    if isinstance(value, list):
        index = next(index for index, item in enumerate(value) if isinstance(item, str) and old in item)
        return replace(text, old, new, (*path, index))
    start = value.index(old)
    return StringEdit(0, path, start, start + len(old), new)


def safely(text: str) -> Any:
    return json.loads(text) if "\t" in text else yaml.safe_load(text)


def refusal(text: str, *edits: Edit) -> str:
    result = edit_text(text, edits)
    assert isinstance(result, NotEditable), result
    return result.reason


@pytest.mark.parametrize(
    ("text", "old", "new", "after"),
    [
        ("a: --n=32  # why\n", "32", "64", "a: --n=64  # why\n"),
        ("a: '--n=32'", "32", "64", "a: '--n=64'"),
        ('a: "--n=32"\r\nb: 1\r\n', "32", "64", 'a: "--n=64"\r\nb: 1\r\n'),
        ("\ufeffa: ü𝒳--n=32\n", "32", "64", "\ufeffa: ü𝒳--n=64\n"),
        ("a: 'it''s 32'", "32", "it's", "a: 'it''s it''s'"),
        ('a: "tab\\t\\u00e9 32"', "é 32", '"q"\\', 'a: "tab\\t\\"q\\"\\\\"'),
        # the style cannot hold it
        ("a: x--n\n", "x--n", "64", 'a: "64"\n'),
        ("a: x--n # c\n", "x--n", "", 'a: "" # c\n'),
        ("a: true-ish\n", "-ish", "", 'a: "true"\n'),
        ("a: plain\n", "plain", "key: value", 'a: "key: value"\n'),
        ("a: plain\n", "plain", 'x #"y"', "a: 'x #\"y\"'\n"),
        ("a: [plain]\n", "plain", "p,q", 'a: ["p,q"]\n'),
        ("a: one\n", "one", "two\nthree", 'a: "two\\nthree"\n'),
        ("a: 'one'\n", "one", "two\nthree", 'a: "two\\nthree"\n'),
        ("a: !!str 8\n", "8", "9", 'a: !!str "9"\n'),
        ("a: &anchor x-8\n", "8", "9", "a: &anchor x-9\n"),
        # several lines
        ('a: "one;\n   two --n 32;\n   three"\n', "32", "64", 'a: "one;\n   two --n 64;\n   three"\n'),
        ('a: "one\n   two"\n', "e tw", "-", 'a: "on-o"\n'),
        ('a: "one \\\n   two"\n', "two", "2", 'a: "one \\\n   2"\n'),
        ("a: one\n   two 32\n", "32", "64", "a: one\n   two 64\n"),
        ("a: one\n   two 32\n", "one", "one:", 'a: "one:\n   two 32"\n'),
        ("a: one\n\n\n  two 32\n", "32", "6: 4", 'a: "one\n\n\n  two 6: 4"\n'),
        ('a: "one\n   two"\n', "one", "one ", 'a: "one  two"\n'),
        # blocks
        ("a: |\n  x \\\n    --n 32\nb: 1\n", "32", "64", "a: |\n  x \\\n    --n 64\nb: 1\n"),
        ("a: |-  # c\n    x\n    --n 32", "32", "64", "a: |-  # c\n    x\n    --n 64"),
        ("a: |\r\n  x\r\n  y\r\n", "x", "x\nz", "a: |\r\n  x\r\n  z\r\n  y\r\n"),
        ("a: |\n  x \\\n    --n 32 \\\n    --m\n", "--n 32 \\\n  ", "", "a: |\n  x \\\n    --m\n"),
        ("a: |\n  x\n\n  y\n", "\n\ny", "\nz\ny", "a: |\n  x\n  z\n  y\n"),
        ("a: |\n  x\n\n  y\n", "\ny", "z\ny", "a: |\n  x\n  z\n  y\n"),
        ("a: |2\n    x\n  y\nb: 1\n", "y", "z", "a: |2\n    x\n  z\nb: 1\n"),
        ("a: |+\n  x\n\nb: 1\n", "x", "y\n", "a: |+\n  y\n\n\nb: 1\n"),
        ("a: |\n  x\n\n# c\nb: 1\n", "x\n", "x\ny\n", "a: |\n  x\n  y\n\n# c\nb: 1\n"),
        ("a: >-\n  x\n  --n 32\n  y\nb: 1\n", "32", "64", "a: >-\n  x\n  --n 64\n  y\nb: 1\n"),
        ("a: >\n  x\n    set off 32\n  y\n\n  z\n", "32", "64", "a: >\n  x\n    set off 64\n  y\n\n  z\n"),
        ("a: >-\n  x\n  y\n", "y", "y\nz", "a: >-\n  x\n  y\n\n  z\n"),
    ],
)
def test_a_part_of_a_string_is_replaced_in_its_style(text: str, old: str, new: str, after: str) -> None:
    assert edit_text(text, [replace(text, old, new)]) == after


def test_json_stays_json() -> None:
    text = '{\n\t"a": ["--n=32"],\n\t"b": []\n}\n'
    edits = (
        StringEdit(0, ("a", 0), 4, 6, '"6"\x07'),
        ListInsert(0, ("a",), 1, ("1e3",)),
        ListInsert(0, ("b",), 0, ("x",)),
    )
    result = edit_text(text, edits)
    assert result == '{\n\t"a": ["--n=\\"6\\"\\u0007", "1e3"],\n\t"b": ["x"]\n}\n'
    assert json.loads(result) == {"a": ['--n="6"\x07', "1e3"], "b": ["x"]}
    both = (ListRemove(0, ("a",), 0, 1), ListInsert(0, ("a",), 0, ("x",)))  # [x, ] is YAML, and no JSON
    assert isinstance(edit_text(text, both), NotEditable)


def test_several_edits_are_made_at_once_and_name_the_places_of_the_text_as_given() -> None:
    text = "a: [--x=1, --y=2]\nb: one two\n---\na: [z]\n"
    edits = (
        StringEdit(0, ("a", 0), 4, 5, "10"),
        StringEdit(0, ("b",), 0, 3, "1st:"),
        StringEdit(0, ("b",), 4, 4, "and "),
        ListInsert(0, ("a",), 1, ("--new",)),
        ListInsert(0, ("a",), 1, ("--newer",)),
        ListRemove(0, ("a",), 1, 1),
        ListInsert(1, ("a",), 1, ("w",)),
    )
    after = 'a: [--x=10, --new, --newer]\nb: "1st: and two"\n---\na: [z, w]\n'
    assert edit_text(text, edits) == after


@pytest.mark.parametrize(
    ("text", "index", "values", "after"),
    [
        # block lists
        ("a:\n- x # c\n- y\n", 1, ["w"], "a:\n- x # c\n- w\n- y\n"),
        ("a:\n- x\n# about y\n- y\n", 1, ["w"], "a:\n- x\n- w\n# about y\n- y\n"),
        ("a:\n  -   x\n", 1, ["--n", "64"], 'a:\n  -   x\n  -   --n\n  -   "64"\n'),
        ("a:\n- 'x'\n- y\n", 2, ["64"], "a:\n- 'x'\n- y\n- '64'\n"),
        ('a:\n- "x"\n', 1, ["w"], 'a:\n- "x"\n- "w"\n'),
        ("a:\n- x\nb: 1\n", 0, ["w"], "a:\n- w\n- x\nb: 1\n"),
        ("a:\n- x", 1, ["w"], "a:\n- x\n- w"),
        ("a:\r\n- x\r\nb: 1\r\n", 1, ["w"], "a:\r\n- x\r\n- w\r\nb: 1\r\n"),
        ("a:\n- x\n- |\n  script\n\nb: 1\n", 2, ["w"], "a:\n- x\n- |\n  script\n- w\n\nb: 1\n"),
        ("a:\n- |+\n  script\n\nb: 1\n", 1, ["w"], "a:\n- |+\n  script\n\n- w\nb: 1\n"),
        ('a:\n- "x\n  y" # c\nb: 1\n', 1, ["w"], 'a:\n- "x\n  y" # c\n- "w"\nb: 1\n'),
        ("a:\n- b: 1\n  c: [x]\n", 1, ["w"], "a:\n- b: 1\n  c: [x]\n- w\n"),
        ("a:\n- x\n", 1, ["q: r", "- s", "#t", "a\nb"], 'a:\n- x\n- "q: r"\n- "- s"\n- "#t"\n- "a\\nb"\n'),
        ("a:\n- x\n", 1, ["yes", "1e3", "-0x1f", "~"], 'a:\n- x\n- "yes"\n- "1e3"\n- "-0x1f"\n- "~"\n'),
        ("a:\n- x\n", 1, ["12:30", "1_0.5", ".5", ""], 'a:\n- x\n- "12:30"\n- "1_0.5"\n- ".5"\n- ""\n'),
        ("a:\n- x\n", 1, ["7b", "0.0.0.0", "v1.2"], "a:\n- x\n- 7b\n- 0.0.0.0\n- v1.2\n"),
        # lists in brackets
        ('a: ["x", "y"]\n', 1, ["w"], 'a: ["x", "w", "y"]\n'),
        ('a: ["x","y"]\n', 2, ["w", "m"], 'a: ["x","y","w","m"]\n'),
        ("a: [x, 'y' ]\n", 0, ["w", "p,q"], "a: [w, 'p,q', x, 'y' ]\n"),
        ("a: []\n", 0, ["w", "m"], 'a: ["w", "m"]\n'),
        ("a: &b []\n", 0, ["w"], 'a: &b ["w"]\n'),
        ('a: [\n  "x",\n  "y"\n]\n', 2, ["w"], 'a: [\n  "x",\n  "y",\n  "w"\n]\n'),
        ('a: [\n  "x",\n  "y",\n]\n', 2, ["w"], 'a: [\n  "x",\n  "y",\n  "w",\n]\n'),
        ('a: [\n  "x" # c\n]\n', 1, ["w"], 'a: [\n  "x", # c\n  "w"\n]\n'),
        ('a: [\n  "x", # c\n  "y", # d\n]\n', 2, ["w"], 'a: [\n  "x", # c\n  "y", # d\n  "w",\n]\n'),
        ('a: [\n  "x", # c\n  "y"\n]\n', 1, ["w"], 'a: [\n  "x", # c\n  "w",\n  "y"\n]\n'),
        ('a: [\n  "x", "1",\n  "y", "2" ]\n', 4, ["w"], 'a: [\n  "x", "1",\n  "y", "2", "w" ]\n'),
        ('{"a": [\r\n\t"x"\r\n]}', 1, ["w"], '{"a": [\r\n\t"x",\r\n\t"w"\r\n]}'),
    ],
)
def test_strings_are_put_into_a_list_in_its_style(text: str, index: int, values: list[str], after: str) -> None:
    result = edit_text(text, [ListInsert(0, ("a",), index, tuple(values))])
    assert isinstance(result, str), result
    assert result == after
    old = safely(text)["a"]
    assert safely(result)["a"] == [*old[:index], *values, *old[index:]]
    assert edit_text(result, [ListRemove(0, ("a",), index, len(values))]) == text


@pytest.mark.parametrize(
    ("text", "index", "count", "after"),
    [
        ("a:\n- x\n- y # c\n- z\n", 1, 1, "a:\n- x\n- z\n"),
        ("a:\n- x\n- y\n- z", 1, 2, "a:\n- x"),
        ("a:\n- x\n- |\n  y\n  z\n\n# c\nb: 1\n", 1, 1, "a:\n- x\n\n# c\nb: 1\n"),
        ("a: [x, y, z]", 0, 1, "a: [y, z]"),
        ("a: [x, y, z]", 1, 2, "a: [x]"),
        ("a: [x, y,]", 0, 2, "a: []"),
        ("a: [\n  x, # c\n  y, # d\n  # about z\n  z\n]\n", 1, 1, "a: [\n  x, # c\n  # about z\n  z\n]\n"),
        ("a: [\n  x, # c\n  y # d\n]\n", 1, 1, "a: [\n  x # c # d\n]\n"),
        ("a: [x, y]", 1, 0, "a: [x, y]"),
    ],
)
def test_items_are_taken_out_with_their_comments(text: str, index: int, count: int, after: str) -> None:
    assert edit_text(text, [ListRemove(0, ("a",), index, count)]) == after


@pytest.mark.parametrize(
    ("text", "edit", "reason"),
    [
        ("a: &s x\nb: *s\n", StringEdit(0, ("a",), 0, 1, "y"), "a is shared by an anchor and its aliases"),
        ("c: &s {a: x}\nb: *s\n", StringEdit(0, ("b", "a"), 0, 1, "y"), "b is shared by an anchor"),
        ("c: &s {a: x}\nb: {<<: *s}\n", StringEdit(0, ("b", "a"), 0, 1, "y"), "b.a comes through a merge (<<)"),
        ("a: x\na: y\n", StringEdit(0, ("a",), 0, 1, "y"), "a stands there twice"),
        ("a: 8\n", StringEdit(0, ("a",), 0, 1, "y"), "a is no string"),
        ("a: [x]\n", StringEdit(0, ("a",), 0, 1, "y"), "a is no string"),
        ("a: [x]\n", StringEdit(0, ("a", 1), 0, 1, "y"), "nothing stands at a[1]"),
        ("a: x\n", StringEdit(0, ("a", "b"), 0, 1, "y"), "nothing stands at a.b"),
        ("a: x\n", StringEdit(1, ("a",), 0, 1, "y"), "there is no document 2"),
        ("a: x\n", StringEdit(0, ("a",), 0, 2, "y"), "a has 1 characters; 0 to 2 does not fit"),
        ("a: x\n", ListInsert(0, ("a",), 0, ("y",)), "a is no list"),
        ("a: [x]\n", ListInsert(0, ("a",), 2, ("y",)), "a has 1 items; there is no place 2"),
        ("a: [x]\n", ListRemove(0, ("a",), 0, 2), "a has 1 items; 0 to 2 does not fit"),
        ("a:\n- x\n", ListRemove(0, ("a",), 0, 1), "a would be empty"),
        ("a:\n- - x\n", ListInsert(0, ("a", 0), 0, ("y",)), "a[0] begins on the line of another list"),
        ("a:\n-\n  x\n", ListInsert(0, ("a",), 1, ("y",)), "a has an item that does not stand behind its dash"),
        ("a: [\n x # c\n , y]\n", ListRemove(0, ("a",), 1, 1), "a has comments between its items"),
        ("a: |\n  x\n", StringEdit(0, ("a",), 0, 1, "\x07"), "a: a block (|) cannot hold that character"),
        ("a: |\n  x\n", StringEdit(0, ("a",), 1, 2, ""), "a: a block (|) cannot hold what the edit makes of it"),
        ("a: |\n  x\nb: 1\n", StringEdit(0, ("a",), 2, 2, "y"), "a: a block (|) cannot hold what the edit"),
        ("a: |\n  x\n", StringEdit(0, ("a",), 0, 0, " "), "a: a block (|) cannot hold what the edit"),
        ("a: x\n\n\n y", StringEdit(0, ("a",), 2, 3, ""), "a: the edit would cut a folded line break in two"),
        ("a: [x\n", StringEdit(0, ("a", 0), 0, 1, "y"), "no YAML that can be read: line 2: "),
        ("a: x\nb: 2026-99-99\n", StringEdit(0, ("a",), 0, 1, "y"), "no YAML that can be loaded: month"),
    ],
)
def test_what_cannot_be_edited_with_certainty_is_refused(text: str, edit: Edit, reason: str) -> None:
    assert refusal(text, edit).startswith(reason)


def test_edits_of_the_same_place_are_refused() -> None:
    text = "a: [x, y]\n"
    assert refusal(text, ListRemove(0, ("a",), 0, 2), StringEdit(0, ("a", 0), 0, 1, "z")).startswith("two edits")
    both = (StringEdit(0, ("a", 0), 0, 1, "z"), StringEdit(0, ("a", 0), 0, 1, "w"))
    assert refusal(text, *both).startswith("a[0] has 1 characters")


def test_without_edits_any_text_stays_as_it_is() -> None:
    assert edit_text("{{ not: yaml", []) == "{{ not: yaml"


def test_aliases_elsewhere_do_no_harm_even_very_many() -> None:
    lines = ["b0: &b0 {n: .nan}"] + [f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]" for n in range(1, 12)]
    text = "\n".join(["a: x", *lines, "c: &c [*c]"])
    assert edit_text(text, [StringEdit(0, ("a",), 0, 1, "z")]) == "a: z" + text[4:]


@given(st.text(alphabet="a:- \n[]{}\"'|>&*#x\t?!%\\"), st.text(max_size=3), st.integers(0, 3))
def test_any_text_is_edited_or_refused(text: str, new: str, place: int) -> None:
    for edit in (
        StringEdit(0, ("a",), 0, place, new),
        StringEdit(0, (), 0, place, new),
        ListInsert(0, (), place, (new,)),
    ):
        result = edit_text(text, [edit])
        assert isinstance(result, (str, NotEditable))
