"""On which line of a YAML text something stands: a node, or a character of a string inside it. Pure."""

import yaml

from inferplan.dialects.yaml_edit.blocks import splice_block
from inferplan.dialects.yaml_edit.nodes import STRING, Documents, Located, Path, RefusedError
from inferplan.dialects.yaml_edit.scalars import Change, splice_flow

_MERGE = "tag:yaml.org,2002:merge"
_BYTE_ORDER_MARK = "\ufeff"


class Lines:
    """The lines of a text's documents.

    Args:
        text: The whole text.
    """

    def __init__(self, text: str) -> None:
        self._text = text.removeprefix(_BYTE_ORDER_MARK)
        try:
            self._nodes = Documents(self._text).nodes
        except RefusedError:
            self._nodes = []

    def line(self, document: int, path: Path, position: int = 0) -> int | None:
        """The line of a character of a string, counted from 1; of what is nearest to it where that cannot be told.

        Args:
            document: Number of the document, from 0.
            path: Where the string stands in it; what an alias or a merge brings stands at its anchor.
            position: Which of the string's characters.
        """
        if not 0 <= document < len(self._nodes):
            return None
        node = self._nodes[document]
        for step in path:
            inner = _inside(node, step)
            if inner is None:
                return _line_of(node)
            node = inner
        offset = self._offset(node, position)
        return _line_of(node) if offset is None else self._text.count("\n", 0, offset) + 1

    def _offset(self, node: yaml.Node, position: int) -> int | None:
        """Where the character stands in the text: where an edit would put something in before it."""
        if not isinstance(node, yaml.ScalarNode) or node.tag != STRING or not 0 <= position <= len(node.value):
            return None
        start = node.start_mark.index
        raw = self._text[start : node.end_mark.index]
        nothing = (Change(position, position, ""),)
        try:
            if node.style in ("|", ">"):
                splices = splice_block(raw, node, Located(node, "", in_flow=False), nothing, "\n")
            else:
                splices = splice_flow(raw, node, Located(node, "", in_flow=True), nothing)
        except RefusedError:
            return None
        return start + splices[0].start


def _line_of(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1


def _inside(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode):
        items: list[yaml.Node] = node.value
        return items[step] if isinstance(step, int) and 0 <= step < len(items) else None
    if not isinstance(node, yaml.MappingNode):
        return None
    named: list[yaml.Node] = [value for name, value in node.value if name.value == step]
    if named:
        return named[-1]  # as loading does: of keys that stand there twice the last one counts
    merged = [value for name, value in node.value if name.tag == _MERGE]
    sources = [each for value in merged for each in (value.value if isinstance(value, yaml.SequenceNode) else [value])]
    return next((found for each in sources if (found := _inside(each, step)) is not None), None)
