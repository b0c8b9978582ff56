"""Scripts that are not read: always one problem that says why, never an exception, never a guess."""

import subprocess
import sys

import pytest
from tests.support.shell import runs, script

from inferplan.dialects.shell import read_script
from inferplan.dialects.words import UnreadableCode


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("vllm 'a", "line 1: the script is no valid shell, or of a form that is not read"),
        ("vllm a\nif x; then\n  vllm b\n", "line 4: the script is no valid shell, or of a form that is not read"),
        ("vllm a ; ; b", "line 1: the script is no valid shell, or of a form that is not read"),
        ("vllm\nvllm \0", "line 2: the script holds a NUL character"),
        ("x" * (256 * 1024 + 1), "the script is longer than 256 KiB"),
        ("f() { f; }; f", "functions, strings or substitutions of the script are nested too deeply"),
        (":(){ :|:& };:", "functions, strings or substitutions of the script are nested too deeply"),
        ("X='eval \"$X\"'; eval \"$X\"", "functions, strings or substitutions of the script are nested too deeply"),
        ("(" * 3000 + "a" + ")" * 3000, "the script's commands are nested too deeply"),
        ("X=aaaaaaaa; " + 'X="$X$X"; ' * 40, "the variable X grows too long to be read"),
        ("A=(a); " + 'A+=("${A[@]}"); ' * 40, "the variable A grows too long to be read"),
        ("A=(" + "a " * 9000 + "); " + 'vllm "${A[@]}"; ' * 20, "the script takes too many steps to be read"),
        ("vllm a \\ b", "line 1: the shell reads the white space there differently from the parser"),
        ("vllm $'a'\\ \n", "the script begins or ends with an escaped blank"),
        ("X=1 > f\n> f\nvllm a", "line 1: the shell reads the white space there differently from the parser"),
        ("vllm { }", "line 1: two words that the parser takes for one are not read"),
        ("vllm $'\\\\' # it's", "line 1: the string $'…' ends where the parser does not see it"),
        ("case a in a) vllm a ;& b) vllm b;; esac", 'line 1: ";&" in a "case" is not read'),
        ("X=\\\n\nvllm a", "line 1: the shell reads the white space there differently from the parser"),
        ("vllm `echo a``echo b`", "line 1: backquotes of this form are not read"),
        ("X=$\nvllm a", "line 1: a dollar sign that stands for itself is not read"),
        ("{{ if .x }}\nvllm a\n{{ end }}", "line 1: a template block spans several lines of the script"),
        ("X{{ .a }}=1 vllm", "line 1: the name of a variable that is assigned is not known"),
    ],
)  # fmt: skip
def test_a_script_that_cannot_be_read_is_one_problem(text: str, reason: str) -> None:
    read = script(text)
    assert [(problem.code, problem.where, problem.reason) for problem in read.problems] == [
        (UnreadableCode.SHELL_SYNTAX, "server", reason)
    ]
    assert read.commands == ()


@pytest.mark.parametrize("text", ["", " \n\t", "# a comment", "\n\n"])
def test_a_script_without_commands_has_none(text: str) -> None:
    assert runs(text) == []
    assert read_script("", source=0, mapping=(), arguments=(), variables={}, where="").commands == ()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a && " * 1000 + "vllm", 1),
        ("a | " * 300 + "vllm", 1),
        ("vllm a\n" * 2000, 2000),
        ("if a; then " * 100 + "vllm;" + "fi;" * 100, 1),
    ],
)
def test_long_scripts_are_read(text: str, count: int) -> None:
    assert len(runs(text)) == count


def test_windows_line_ends_are_letters_of_words_as_for_the_shell() -> None:
    assert runs("vllm a\r\nvllm b \\\r\n") == [["a\r"], ["b", "\r"]]


def test_nothing_is_imported_before_a_script_is_read() -> None:
    code = "import sys, inferplan.dialects.shell; print('tree_sitter' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
