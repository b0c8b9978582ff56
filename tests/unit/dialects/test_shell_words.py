"""The words of a shell command: quotes, escapes, splitting, and where every letter of them stands."""

import pytest
from tests.support.shell import misplaced, runs, script, whole

from inferplan.dialects.shell import read_script
from inferplan.dialects.words import Piece, known_word


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("a b", ["a", "b"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        ("a\"b\"'c'd", ["abcd"]),
        ("\"\" ''", ["", ""]),
        (r"a\ b \"c\" \$X", ["a b", '"c"', "$X"]),
        (r'"a \"b\" \$c \\ \d"', [r'a "b" $c \ \d']),
        (r"'a\b'", [r"a\b"]),
        (r"$'a\tb\x41\u00e9\101\'\q'", ["a\tbAéA'\\q"]),
        ('$"a"', ["a"]),
        ("a \\\n  b", ["a", "b"]),
        ("a\\\nb", ["ab"]),
        ('"a\\\nb"', ["ab"]),
        ("'a\nb'", ["a\nb"]),
        ("a # b", ["a"]),
        ("a#b", ["a#b"]),
        ("'it'\\''s'", ["it's"]),
        ("--x='{\"a\": 1}'", ['--x={"a": 1}']),
        ('--x={"a":1}', ["--x={a:1}"]),
        ("$ a$ $", ["$", "a$", "$"]),
        ("a=b -c=d", ["a=b", "-c=d"]),
        ("[ a ] {} !", ["[", "a", "]", "{}", "!"]),
        ("é '漢字' ü\u00a0x", ["é", "漢字", "ü\u00a0x"]),
        ("a\r", ["a\r"]),
    ],
)
def test_quotes_are_taken_away_as_the_shell_does(written: str, words: list[str]) -> None:
    assert runs(f"vllm {written}\n") == [words]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("a > log b", ["a", "b"]),
        ("a >log 2>&1 b", ["a", "b"]),
        ("a b 2>&1 | tee log", ["a", "b"]),
        ("a &> log", ["a"]),
        ("a < in", ["a"]),
        ("a <<< b c", ["a", "c"]),
        ("a <<EOF b\ntext\nEOF", ["a", "b"]),
        ("'a'b \\\n  2>&1", ["ab"]),
        ("a 1", ["a", "1"]),
        ("a - <<EOF\ntext\nEOF", ["a", "-"]),
        ("- 2>&1 b", ["-", "b"]),
        ("a & wait", ["a"]),
        ("a; b", ["a"]),
    ],
)
def test_redirections_are_no_arguments(written: str, words: list[str]) -> None:
    assert runs(f"vllm {written}\n") == [words]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{a,b}", ["<brace expansion…>"]),
        ("x{1..3}", ["<brace expansion…>"]),
        ('{"a":1,"b":2}', ["<brace expansion…>"]),
        ("/models/*.gguf", ["<file names…>"]),
        ("--allowed-origins=*", ["--allowed-origins=*"]),
        ("http://a/?b=c", ["http://a/?b=c"]),
        ("[1]", ["[1]"]),
        ("~/a", ["<HOME>/a"]),
        ("a~", ["a~"]),
        ("$(hostname -i)", ["<$(hostname -i)…>"]),
        ('"$(hostname -i):80"', ["<$(hostname -i)>:80"]),
        ("`hostname`", ["<`hostname`…>"]),
        ("`echo \\$X`", ["<`echo \\$X`…>"]),
        ("<(a)", ["<<(a)…>"]),
    ],
)
def test_what_depends_on_the_machine_is_unknown(written: str, words: list[str]) -> None:
    assert runs(f"vllm {written}") == [words]


def test_home_is_known_where_the_container_sets_it() -> None:
    assert runs("vllm ~/a", env={"HOME": "/root"}) == [["/root/a"]]


def test_a_letter_keeps_its_place_through_quotes_and_variables() -> None:
    text = 'ARGS="--x 1"; vllm a\'b\' "$ARGS" $ARGS'
    read = script(text)
    pieces = [[(p.text, p.start, p.variables) for p in word.pieces] for word in read.commands[0].words[1:]]
    assert pieces == [
        [("a", 19, ()), ("b", 21, ())],
        [("--x 1", 6, ("ARGS",))],
        [("--x", 6, ("ARGS",))],
        [("1", 10, ("ARGS",))],
    ]
    assert misplaced(read, text) == []


def test_an_escape_has_a_place_but_can_only_be_replaced_as_a_whole() -> None:
    (word,) = script(r"vllm a\"b").commands[0].words[1:]
    assert word.pieces == (Piece("a", 0, 5, 6, True), Piece('"', 0, 6, 8), Piece("b", 0, 8, 9, True))


def test_a_variable_in_a_variable_is_the_inner_one() -> None:
    (word,) = script("A=x; B=$A; vllm $B").commands[0].words[1:]
    assert word.pieces[0].variables == ("B", "A")


def test_what_kubernetes_put_in_is_text_of_the_script() -> None:
    text = "vllm --port 8000 --x"
    mapping = (Piece("vllm --port ", 2, 0, 12, True), Piece("8000", 2, 12, 19), Piece(" --x", 2, 19, 23, True))
    read = read_script(text, source=2, mapping=mapping, arguments=(), variables={}, where="")
    assert [word.pieces for word in read.commands[0].words[2:]] == [
        (Piece("8000", 2, 12, 19),),
        (Piece("--x", 2, 20, 23, True),),
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("", "", "<SIZE…>"), ('"', '"', "<SIZE>"), ("'", "'", "<SIZE>"), ("--size=", "", "--size=<SIZE…>")],
)
def test_an_unknown_kubernetes_variable_is_not_run_as_a_command(before: str, after: str, expected: str) -> None:
    head, written = f"vllm {before}", "$(SIZE)"
    mapping = (*whole(head), Piece(written, 0, len(head), len(head) + 7, unknown="SIZE"), Piece(after))
    read = read_script(head + written + after, source=0, mapping=mapping, arguments=(), variables={}, where="")
    (word,) = read.commands[0].words[1:]
    assert len(read.commands) == 1
    assert (word.text, word.unknown) == (expected.replace("<SIZE…>", written).replace("<SIZE>", written), ("SIZE",))
    assert word.may_vanish is ("…" in expected)


def test_an_unknown_kubernetes_variable_in_arithmetic_makes_the_result_unknown() -> None:
    head, written, tail = "vllm $(( ", "$(SIZE)", " - 1 ))"
    mapping = (Piece(head, 0, 0, 9, True), Piece(written, 0, 9, 16, unknown="SIZE"), Piece(tail, 0, 16, 23, True))
    read = read_script(head + written + tail, source=0, mapping=mapping, arguments=(), variables={}, where="")
    assert read.commands[0].words[1].unknown == ("$(( $(SIZE) - 1 ))",)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("--model {{ .Values.model }}", ["--model", "<template…>"]),
        ('"{{ .Values.model }}"', ["<template>"]),
        ('"{{ default "a b" .x }}/c"', ["<template>/c"]),
        ("{{ if .tls }}--ssl {{ .cert }}{{ end }} --y", ["<template…>", "--y"]),
        ("--x {{- .y }}", ["--x<template…>"]),
        ("--a \\\n  {{- if .x }}--b{{ end }} \\\n  --c", ["--a", "<template…>", "--c"]),
        ("$(( {{ .n }} + 1 ))", ["<$(( {{ .n }} + 1 ))…>"]),
    ],
)
def test_a_template_expression_is_unknown(written: str, words: list[str]) -> None:
    assert runs(f"vllm {written}") == [words]


@pytest.mark.parametrize("text", ["{{ if .x }}\nvllm a\n{{ end }}", "vllm a {{ end }}", "vllm {{ if .x }} a"])
def test_a_template_that_decides_which_commands_there_are_is_a_problem(text: str) -> None:
    assert "template" in script(text).problems[0].reason


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("vllm serve M", "vllm serve M"),
        ("vllm serve M > log 2>&1", "vllm serve M"),
        ("exec vllm serve M & wait", "exec vllm serve M"),
        ("vllm serve M > log --x", "vllm serve M > log --x"),
        ("A=b vllm serve \\\n  M; x", "A=b vllm serve \\\n  M"),
        ('vllm serve "$@" | tee log', 'vllm serve "$@"'),
    ],
)
def test_a_further_argument_goes_behind_the_last_one(text: str, at: str) -> None:
    (command,) = [command for command in script(text).commands if command.words[0].text == "vllm"]
    assert (command.insertable, command.insertion, text[: command.end]) == (True, len(at), at)
    longer = script(f"{text[: command.end]} --flag=1{text[command.end :]}").commands
    assert any(command.words[-1].text == "--flag=1" for command in longer)


def test_nothing_can_be_inserted_into_a_string_that_is_evaluated() -> None:
    (command,) = script('eval "vllm serve M"').commands
    assert (command.insertable, command.insertion, command.line) == (False, -1, 1)


def test_positional_arguments_of_the_shell_are_words() -> None:
    text = 'vllm "$@" $1 "$2" $# ${3:-c} $0'
    assert runs(text, "--", "a b", "") == [["a b", "", "a", "b", "", "2", "c", "--"]]
    assert runs('exec vllm "$@"', "sh") == [[]]
    argument = known_word("x y")
    read = read_script(
        "vllm $1", source=0, mapping=whole("vllm $1"), arguments=(argument, argument), variables={}, where=""
    )
    assert [word.text for word in read.commands[0].words] == ["vllm", "x", "y"]
