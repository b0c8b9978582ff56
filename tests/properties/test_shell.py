"""What must hold for any shell script: bash itself says what is right."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tests.properties.strategies import quick
from tests.support.shell import misplaced, runs, script
from tests.support.shell_scripts import scripts

from inferplan.dialects.shell import Command
from inferplan.dialects.words import Piece, Word

ARGUMENTS = ("bash", "1st", "2 nd", "third")
END = "\1"
STUB = f"#!/bin/sh\n{{ [ $# -eq 0 ] || printf '%s\\0' \"$@\"; printf '{END}\\0'; }} >> \"$SEEN\"\n"
with_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


class Bash:
    """Runs scripts in real bash, with a `vllm` that notes its arguments."""

    def __init__(self, folder: Path) -> None:
        self._seen = folder / "seen"
        self._folder = folder / "empty"
        self._folder.mkdir()
        stub = folder / "vllm"
        stub.write_text(STUB)
        stub.chmod(0o755)
        self._path = f"{folder}:{os.environ['PATH']}"

    def run(self, text: str, **environment: str) -> list[list[str]] | None:
        """The arguments of every start; None where bash finds the script at fault."""
        self._seen.write_text("")
        env = {"PATH": self._path, "SEEN": str(self._seen), "LC_ALL": "C.UTF-8", "HOME": "/h", **environment}
        done = subprocess.run(
            ["bash", "-c", text, *ARGUMENTS], env=env, cwd=self._folder, capture_output=True, check=False, timeout=20
        )
        if re.search(rb"bash: (-c: )?line \d+: (?!.*command not found)", done.stderr) or b"1st: line" in done.stderr:
            return None
        starts, current = [], []
        for argument in self._seen.read_text().split("\0")[:-1]:
            current.append(argument)
            if argument == END:
                starts.append(current[:-1])
                current = []
        return starts


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Bash:
    return Bash(tmp_path_factory.mktemp("bash"))


def stands_for(command: Command, arguments: list[str]) -> bool:
    """Whether the words may be what the program was started with."""
    pattern = "".join(_word(word) for word in command.words)
    return re.fullmatch(pattern, "".join(f"{argument}\0" for argument in ("vllm", *arguments)), re.DOTALL) is not None


def _word(word: Word) -> str:
    pattern = "".join(_piece(piece) for piece in word.pieces) + "\0"
    return f"(?:{pattern})?" if word.may_vanish else pattern


def _piece(piece: Piece) -> str:
    if not piece.unknown:
        return re.escape(piece.text)
    return ".*" if piece.splits else "[^\0]*"


def starts(text: str) -> list[Command]:
    read = script(text, *ARGUMENTS)
    assume(not read.problems)
    assert misplaced(read, text) == []
    return [command for command in read.commands if command.words[0].text == "vllm"]


@with_bash
@settings(quick, max_examples=120)  # each starts bash
@given(scripts(open_tests=False))
@example("vllm 'a'b \\\n  2>&1 | cat\n")
@example("vllm 0''$10\\\n 0\n")
@example("vllm a - <<EOF\nb\nEOF\n")
@example("[ 3 -gt 2 ] || vllm a 2>/dev/null\nif [ a = a ]; then vllm b; fi\n")
def test_a_script_without_open_questions_runs_what_bash_runs(bash: Bash, text: str) -> None:
    found = starts(text)
    seen = bash.run(text)
    assume(seen is not None)
    assert [command.condition for command in found] == [""] * len(found)
    assert len(found) == len(seen or ())
    assert all(stands_for(command, arguments) for command, arguments in zip(found, seen or (), strict=True))


@with_bash
@settings(quick, max_examples=120)  # each starts bash
@given(scripts(open_tests=True), st.sampled_from(["", "a", "a b"]))
def test_whatever_an_unknown_variable_holds_bash_runs_what_was_read(bash: Bash, text: str, value: str) -> None:
    found = starts(text)
    seen = bash.run(text, U=value)
    assume(seen is not None)
    for arguments in seen or ():
        assert any(stands_for(command, arguments) for command in found)
    for command in found:
        assert command.condition or any(stands_for(command, arguments) for arguments in seen or ())


PLAIN = st.text("ab-_./:=,1é", min_size=1, max_size=6)
ANY = st.text("ab \"'\\$`;&|<>(){}[]*?#~!\t\né漢", max_size=8)
SHAPES = (
    "exec vllm {}",
    "vllm {} > log 2>&1",
    "cd /x && vllm {} | tee log",
    "if true; then\n  vllm {}\nfi",
    'A=({}); vllm "${{A[@]}}"',
    'set -- {}; exec vllm "$@"',
    'f() {{ vllm "$@"; }}; f {}',
    "(vllm {}) & wait",
    "X=1 vllm {}",
    "vllm \\\n  {} \\\n  2>&1",
)


def quoted(text: str, how: int) -> str:
    """One of the ways to write a word."""
    if how == 0:
        return "'" + text.replace("'", "'\\''") + "'"
    if how == 1:
        return '"' + re.sub(r'(["\\$`])', r"\\\1", text) + '"'
    half = len(text) // 2
    return quoted(text[:half], 0) + quoted(text[half:], 1)


@quick
@given(
    st.lists(st.tuples(ANY, st.integers(0, 2)), max_size=4), st.sampled_from(SHAPES), st.sampled_from([" ", " \\\n  "])
)
def test_quoted_words_come_back_as_they_were(words: list[tuple[str, int]], shape: str, gap: str) -> None:
    text = shape.format(gap.join(quoted(word, how) for word, how in words))
    assert runs(text) == [[word for word, _ in words]]
    assert misplaced(script(text), text) == []


@quick
@given(st.lists(PLAIN, min_size=1, max_size=4), st.sampled_from(["'", '"']))
def test_a_variables_words_stand_in_its_assignment(words: list[str], quote: str) -> None:
    text = f"ARGS={quote}{'  '.join(words)}{quote}\nvllm $ARGS\n"
    (command,) = script(text).commands
    assert [word.text for word in command.words[1:]] == words
    assert all(text[p.start : p.end] == p.text and p.verbatim for word in command.words for p in word.pieces)


@settings(quick, max_examples=400)
@given(st.text("ab \"'\\$`;&|<>(){}[]*?#~!=\t\n\r\0é\u3000-1@", max_size=40) | st.text(max_size=20))
@example("((((" * 500)
@example("{{ if }}" * 3)
def test_no_text_raises_or_misplaces_a_letter(text: str) -> None:
    read = script(text, "bash", "a")
    assert len(read.problems) <= 1
    assert misplaced(read, text) == []
