"""Edits inside a YAML block scalar (`|`, `>`) that keep its indentation and line breaks. Pure.

Rules: YAML 1.1 chapter 9.2 and 9.3 (indentation indicator, chomping, folding), as libyaml 0.2.5 reads them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

from inferplan.dialects.yaml_edit.nodes import Located, RefusedError
from inferplan.dialects.yaml_edit.scalars import BREAK, Change, Segment, Splice, changed, placed, spliced, value_of
from inferplan.dialects.yaml_edit.writing import printable

_HEADER = re.compile(rf"(?:[&!]\S*\s+)*(?P<style>[|>])(?P<indicators>[1-9+-]{{0,2}})[ \t]*(?:#[^\r\n]*)?{BREAK}")
_BREAKS = ("\n", "\r")
_LINE = re.compile(rf"(?P<content>[^\r\n]*)(?P<break>{BREAK}|$)")


@dataclass(frozen=True)
class _Block:
    """A block scalar's form.

    Attributes:
        folded: `>`, not `|`.
        chomping: "" (one line break at the end), "-" (none), "+" (all).
        indentation: Spaces before its lines; None if the first line that is not empty decides.
    """

    folded: bool
    chomping: str
    indentation: int | None


@dataclass(frozen=True, slots=True)
class _Line:
    """A line: its content without indentation, where that begins, and where its line break ends."""

    content: str
    start: int
    end: int
    after: int

    @property
    def is_blank(self) -> bool:
        return not self.content

    @property
    def is_set_off(self) -> bool:
        """A line that begins with a blank is not folded."""
        return self.content[:1] in (" ", "\t")


def splice_block(
    raw: str, node: yaml.ScalarNode, located: Located, changes: Sequence[Change], line_break: str
) -> list[Splice]:
    """The splices of a block scalar's text that make the changes."""
    header = _HEADER.match(raw)
    unsure = RefusedError(f"{located.place} is written in a way that cannot be edited with certainty")
    if header is None:
        raise unsure
    body = raw[header.end() :]
    block = _block(header, body, node.value)
    segments = tuple(_segments(body, block))
    if value_of(segments) != node.value:
        raise unsure
    if not all(printable(line) for change in changes for line in change.text.split("\n")):
        raise RefusedError(f"{located.place}: a block ({header['style']}) cannot hold that character")
    splices = [
        _indented(body, block, placed(segments, change, change.text, located.place), line_break) for change in changes
    ]
    after = spliced(body, splices)
    runs_on = body.endswith(_BREAKS) and not after.endswith(_BREAKS)  # into what follows the block
    if runs_on or value_of(_segments(after, block)) != changed(node.value, changes):
        raise RefusedError(f"{located.place}: a block ({header['style']}) cannot hold what the edit makes of it")
    return [Splice(header.end() + each.start, header.end() + each.end, each.text) for each in splices]


def _block(header: re.Match[str], body: str, value: str) -> _Block:
    """The form; where a digit gives the indentation, counted from the parent's, the value tells what it comes to."""
    indicators = header["indicators"]
    is_given = any(sign.isdigit() for sign in indicators)
    indentation = _leading_blanks(body) - _leading_blanks(value) if is_given else None
    return _Block(header["style"] == ">", indicators.strip("123456789"), indentation)


def _indentation(body: str, block: _Block) -> int:
    return _leading_blanks(body) if block.indentation is None else block.indentation


def _leading_blanks(text: str) -> int:
    """Spaces before the first line that has anything else in it."""
    lines = (match["content"] for match in _LINE.finditer(text))
    return next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" ")), 0)


def _lines(body: str, indentation: int) -> Iterator[_Line]:
    for match in _LINE.finditer(body):
        if match.start() == len(body):
            return
        text = match["content"]
        blanks = min(indentation, len(text) - len(text.lstrip(" ")))
        yield _Line(text[blanks:], match.start() + blanks, match.end("content"), match.end())


def _segments(body: str, block: _Block) -> Iterator[Segment]:
    lines = tuple(_lines(body, _indentation(body, block)))
    last = max((number for number, line in enumerate(lines) if not line.is_blank), default=-1)
    for number, line in enumerate(lines[: last + 1]):
        if not line.is_blank:
            yield Segment(line.content, line.start, line.end)
        if number < last:
            yield from _break(lines, number, block)
    yield from _at_the_end(lines, last, block)


def _break(lines: Sequence[_Line], number: int, block: _Block) -> Iterator[Segment]:
    """What the value has for the line break behind a line that is not the last one."""
    line, following = lines[number], lines[number + 1]
    if not block.folded:
        yield Segment("\n", line.end, following.start, exact=False)
        return
    if line.is_blank:
        if number == 0 or all(each.is_blank for each in lines[:number]):
            yield Segment("\n", line.end, following.start, exact=False)
        return  # part of the break behind the line before it
    after = next(index for index in range(number + 1, len(lines)) if not lines[index].is_blank)
    breaks = after - number
    kept = line.is_set_off or lines[after].is_set_off
    value = "\n" * breaks if kept else " " if breaks == 1 else "\n" * (breaks - 1)
    yield Segment(value, line.end, lines[after].start, exact=False, fold=value == " ")


def _at_the_end(lines: Sequence[_Line], last: int, block: _Block) -> Iterator[Segment]:
    """Line breaks behind the last line that is not empty, as the chomping indicator has them."""
    rest = [line for line in lines[max(last, 0) :] if line.end < line.after]
    kept = {"-": 0, "+": len(rest)}.get(block.chomping, 1 if last >= 0 else 0)
    for line in rest[:kept]:
        yield Segment("\n", line.end, line.after, exact=False)


def _indented(body: str, block: _Block, splice: Splice, line_break: str) -> Splice:
    """The splice with the block's indentation behind its line breaks, and before it on an empty line."""
    if not splice.text:
        return splice
    blanks = " " * _indentation(body, block)
    fold = line_break if block.folded else ""
    lines = splice.text.split("\n")
    text = (fold + line_break).join([lines[0], *(blanks + line if line else "" for line in lines[1:])])
    start = splice.start - (body.rfind("\n", 0, splice.start) + 1)
    if lines[0] and start < len(blanks):
        text = blanks[start:] + text
    if len(lines) > 1 and not lines[-1] and body[splice.end : splice.end + 1] not in ("\n", "\r", ""):
        text += blanks
    return Splice(splice.start, splice.end, text)
