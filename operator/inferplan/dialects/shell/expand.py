"""What the words of a command stand for: quotes, variables, substitutions, splitting into words. Pure."""

import re
from collections.abc import Iterator, Sequence

from inferplan.dialects.shell import parameters
from inferplan.dialects.shell.arithmetic import evaluate
from inferplan.dialects.shell.fields import FILE_NAMES, IFS, Fields, hidden, matches_files, splitting
from inferplan.dialects.shell.literals import HEREDOC, NOTHING, QUOTED, UNQUOTED, ansi, literal
from inferplan.dialects.shell.state import Machine, Pieces
from inferplan.dialects.shell.tree import Node, grouped
from inferplan.dialects.words import Piece, Word, cut

_EXPANSIONS = frozenset({"expansion", "simple_expansion", "command_substitution", "arithmetic_expansion"})
_BRACES = re.compile(r"\{[^{}]*(?:,|\.\.)[^{}]*\}")
"""Bash Reference Manual 5.2, 3.5.1 Brace Expansion. Other shells (dash) do not know it, so the result is unknown."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]")
_HOME = re.compile(r"~[^/]*")
_LITERAL = frozenset({"word", "number"})
_ORDINARY = re.compile(r"[A-Za-z0-9_./:=,@%+-]+")
"""Words in which nothing means anything to the shell: most of them, and read the short way."""
BRACES = "brace expansion"
LONGEST_NAME = 60
"""Characters of a substitution that its name shows."""


def words(machine: Machine, nodes: Sequence[Node]) -> tuple[Word, ...]:
    """The words that a command's or array's nodes stand for."""
    found = tuple(word for group in grouped(nodes) for word in _word(machine, group))
    machine.budget.spend(sum(len(word.pieces) for word in found))
    return found


def value(machine: Machine, nodes: Sequence[Node]) -> Pieces:
    """What an assignment's right side stands for: one value, not split into words."""
    fields = Fields(split=False, certain=IFS not in machine.variables)
    _join(machine, nodes, fields)
    return tuple(piece for word in fields.words() for piece in word.pieces)


def text(machine: Machine, nodes: Sequence[Node]) -> str | None:
    """The same as text; None where not all of it is known."""
    return known(value(machine, nodes))


def known(pieces: Pieces) -> str | None:
    """Their text; None where not all of it is known."""
    return None if any(piece.unknown for piece in pieces) else "".join(piece.text for piece in pieces)


def heredoc(machine: Machine, body: Node, *, quoted: bool, tabs: bool) -> Pieces:
    """What a here-document stands for; `tabs`: whether leading tabs are taken away (`<<-`)."""
    fields = Fields(split=False)
    _mixed(machine, body, (body.start, body.end), fields, NOTHING if quoted else HEREDOC)
    pieces = tuple(piece for word in fields.words() for piece in word.pieces)
    return tuple(_without_tabs(pieces)) if tabs else pieces


def _without_tabs(pieces: Pieces) -> Iterator[Piece]:
    fresh = True
    for piece in pieces:
        if piece.unknown:
            fresh = False
            yield piece
            continue
        for line in re.finditer(r"[^\n]*\n?", piece.text):
            skipped = len(line.group()) - len(line.group().lstrip("\t")) if fresh else 0
            if line.end() > line.start() + skipped:
                yield from cut((piece,), line.start() + skipped, line.end())
            fresh = line.group().endswith("\n") or fresh


def _word(machine: Machine, group: Sequence[Node]) -> tuple[Word, ...]:
    machine.budget.spend()
    first = group[0]
    if len(group) == 1 and first.kind in _LITERAL and _ORDINARY.fullmatch(first.source.code, first.start, first.end):
        return (Word(tuple(splitting(first.source.shadow.pieces(first.start, first.end)))),)
    plain = _plain(group)
    if _BRACES.search(plain):
        return (Word((_unknown(group[0], group[-1].end, BRACES, splits=True),)),)
    fields = Fields(certain=IFS not in machine.variables)
    _join(machine, group, fields)
    found = fields.words()
    if plain and matches_files(plain, plain):
        return tuple(
            Word(tuple(piece if piece.unknown else hidden(piece, FILE_NAMES) for piece in word.pieces))
            for word in found
        )
    return found


def _join(machine: Machine, nodes: Sequence[Node], fields: Fields) -> None:
    """Joins what the nodes of a word stand for."""
    for index, node in enumerate(_repaired(nodes)):
        _tilde(machine, node, fields) if index == 0 else _expand(machine, node, fields)


def _repaired(nodes: Sequence[Node]) -> Iterator[Node]:
    """A word's parts; the parser may take the `$` of `$HOST:$PORT/v1` for itself, and `PORT/v1` for the next word."""
    parts = [part for node in nodes for part in (node.children if node.kind == "concatenation" else (node,))]
    for index, node in enumerate(parts):
        after = parts[index + 1] if index + 1 < len(parts) else None
        if node.text != "$" or after is None:
            yield node
            continue
        name = _NAME.match(node.source.code, after.start, after.end) if after.kind in _LITERAL else None
        if name is not None:
            yield Node.made(node.source, "simple_expansion", node.start, name.end())
            parts[index + 1] = Node.made(node.source, "word", name.end(), after.end)
        elif after.kind != "string":  # $"…" is translated, which leaves it as it is
            yield node


def _plain(nodes: Sequence[Node]) -> str:
    """The unquoted literal text of a word, with a NUL for everything else."""
    return "".join(_plain_text(node) for node in nodes)


def _plain_text(node: Node) -> str:
    if node.kind == "concatenation":
        return _plain(node.children)
    if node.kind == "brace_expression":
        return node.text
    if node.kind in {"word", "number", "extglob_pattern"}:
        return UNQUOTED.sub("\0", node.source.code[node.start : node.end])
    return "\0"


def _tilde(machine: Machine, node: Node, fields: Fields) -> None:
    """Expands the first part of a word, in which `~` stands for the home directory."""
    code = node.source.code
    if node.kind != "word" or code[node.start] != "~":
        _expand(machine, node, fields)
        return
    name = _HOME.match(code, node.start, node.end)
    end = name.end() if name else node.start + 1
    home = machine.variables.get("HOME")
    if home is None or end > node.start + 1:
        fields.add((_unknown(node, end, "HOME", splits=False),))
    else:
        fields.expand(home.scalar, quoted=True)
    fields.literal(literal(node.source, end, node.end, UNQUOTED), quoted=False)


def _expand(machine: Machine, node: Node, fields: Fields) -> None:
    """Joins what a node stands for."""
    if node.kind == "concatenation":
        for part in _repaired((node,)):
            _expand(machine, part, fields)
    elif node.kind in _EXPANSIONS or node.kind == "process_substitution":
        _expansion(machine, node, fields, quoted=False)
    elif node.kind in {"string", "translated_string"}:
        _string(machine, node if node.kind == "string" else node.children[-1], fields)
    elif node.kind == "number" and node.children:
        _mixed(machine, node, (node.start, node.end), fields, UNQUOTED)
    else:
        _text(node, fields)


def _text(node: Node, fields: Fields) -> None:
    """Joins a node without expansions in it."""
    source, start, end = node.source, node.start, node.end
    if node.kind == "raw_string":
        fields.literal(source.shadow.pieces(start + 1, end - 1), quoted=True)
    elif node.kind == "ansi_c_string":
        fields.literal(ansi(node), quoted=True)
    else:
        fields.literal(literal(source, start, end, UNQUOTED), quoted=False)


def _string(machine: Machine, node: Node, fields: Fields) -> None:
    if node.end - node.start == len('""'):
        fields.add(())
    _mixed(machine, node, (node.start + 1, node.end - 1), fields, QUOTED)


def _mixed(machine: Machine, node: Node, span: tuple[int, int], fields: Fields, escapes: "re.Pattern[str]") -> None:
    """Joins quoted text with expansions in it."""
    position, end = span
    for child in node.children:
        if child.kind in _EXPANSIONS:
            if child.start > position:
                fields.literal(literal(node.source, position, child.start, escapes), quoted=True)
            _expansion(machine, child, fields, quoted=True)
            position = child.end
    if end > position:
        fields.literal(literal(node.source, position, end, escapes), quoted=True)


def _expansion(machine: Machine, node: Node, fields: Fields, *, quoted: bool) -> None:
    if node.kind == "simple_expansion":
        parameters.simple(machine, node, fields, quoted=quoted)
    elif node.kind == "expansion":
        parameters.braced(machine, node, fields, parameters.Inside(quoted, _rest))
    elif node.kind == "arithmetic_expansion":
        fields.expand(_arithmetic(machine, node), quoted=quoted)
    else:
        fields.expand(_substitution(machine, node), quoted=quoted)


def _arithmetic(machine: Machine, node: Node) -> Pieces:
    parts = [child for child in node.children if child.kind not in {"$((", "))", "$[", "]", ","}]
    results = [evaluate(machine, child, text) for child in parts]
    if not results or results[-1] is None:
        return (_unknown(node, node.end, named(node.text), splits=False),)
    return (Piece(str(results[-1]), *node.source.shadow.place(node.start, node.end)),)


def _run_apart(machine: Machine, node: Node) -> Machine:
    inner = machine.fork()
    inner.output = ()
    with machine.budget.nested():
        inner.run(inner, node.children)
    return inner


def _substitution(machine: Machine, node: Node) -> Pieces:
    """Runs the commands of a substitution in a shell of their own; what they print is known in simple cases."""
    code = node.source.code[node.start : node.end]
    if code[0] == "`" and "\\" in code:  # backquotes take backslashes away before their commands are read
        return (_unknown(node, node.end, named(node.text), splits=False),)
    inner = _run_apart(machine, node)
    output = inner.output
    if output is None or node.kind == "process_substitution" or node.named("redirect"):
        return (_unknown(node, node.end, named(node.text), splits=False),)
    return cut(output, 0, len("".join(piece.text for piece in output).rstrip("\n")))


def _rest(machine: Machine, node: Node, start: int, fields: Fields, quoted: bool) -> None:
    """Joins the word in `${NAME:-word}`, which begins at `start`."""
    position = start
    for child in _parts(node, start):
        if child.kind in {"word", "regex", "variable_name"} or (
            quoted and child.kind in {"raw_string", "ansi_c_string"}
        ):
            continue
        _gap(node, (position, child.start), fields, quoted=quoted)
        if child.kind in _EXPANSIONS:
            _expansion(machine, child, fields, quoted=quoted)
        else:
            _expand(machine, child, fields)
        position = child.end
    _gap(node, (position, node.end - 1), fields, quoted=quoted)


def _gap(node: Node, span: tuple[int, int], fields: Fields, *, quoted: bool) -> None:
    if span[0] < span[1]:
        fields.expand(literal(node.source, *span, QUOTED if quoted else UNQUOTED), quoted=quoted)


def _parts(node: Node, start: int) -> Iterator[Node]:
    for child in node.children:
        if child.kind == "concatenation" and child.start >= start:
            yield from child.children
        elif child.start >= start and child.kind != "}":
            yield child


def _unknown(node: Node, end: int, name: str, *, splits: bool) -> Piece:
    source = node.source
    return Piece(
        source.shadow.text[node.start : end], *source.shadow.place(node.start, end), unknown=name, splits=splits
    )


def named(written: str) -> str:
    """What an expansion is called for people: what is written, shortened."""
    line = " ".join(written.split())
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}…"
