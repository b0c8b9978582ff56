"""What a shell knows while it runs a script: variables, arguments, functions, and whether it still runs. Pure."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum

from inferplan.dialects.shell.budget import Budget
from inferplan.dialects.shell.errors import ShellError
from inferplan.dialects.shell.tree import Node
from inferplan.dialects.words import Piece, Word

Pieces = tuple[Piece, ...]

MAX_SIZE = 256 * 1024
"""Characters that one variable may hold, each of its pieces counted as PIECE_SIZE; as long as the longest script."""
PIECE_SIZE = 16


class Status(Enum):
    """What is known of a command's exit status."""

    YES = "zero"
    NO = "not zero"
    OPEN = "a test that may go either way"
    HOPED = "zero when all goes well"

    def negated(self) -> "Status":
        """What `!` makes of it."""
        return {Status.YES: Status.NO, Status.NO: Status.YES}.get(self, Status.OPEN)


class End(StrEnum):
    """What a command ended, the narrowest first."""

    LOOP = "left the loop"
    FUNCTION = "left the function"
    SCRIPT = "ended the script"


_NARROWEST = tuple(End)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable's value.

    Attributes:
        fields: A scalar's value, or an array's elements. A piece of an element that splits may stand for several
            elements or none.
        array: Whether it is an array.
        exported: Whether programs see it.
        scripted: Whether the script set it; otherwise it came with the container.
        unset: Whether it is certainly not set.
    """

    fields: tuple[Pieces, ...] = ((),)
    array: bool = False
    exported: bool = False
    scripted: bool = True
    unset: bool = False

    @property
    def scalar(self) -> Pieces:
        """What `$NAME` stands for: of an array, its first element."""
        return self.fields[0] if self.fields else ()

    @property
    def texts(self) -> tuple[str, ...] | None:
        """The text of each field; None where not all is known."""
        if self.unset or any(piece.unknown for pieces in self.fields for piece in pieces):
            return None
        return tuple("".join(piece.text for piece in pieces) for pieces in self.fields)

    @property
    def size(self) -> int:
        """How much it holds."""
        return sum(len(piece.text) + PIECE_SIZE for pieces in self.fields for piece in pieces)


def unknown(name: str, *, splits: bool = False) -> Pieces:
    """The value of a variable that nothing is known of."""
    return (Piece(f"${{{name}}}", unknown=name, splits=splits),)


@dataclass(frozen=True, slots=True)
class Found:
    """A command that was found, before it is handed out."""

    words: tuple[Word, ...]
    variables: dict[str, Pieces]
    unset: frozenset[str]
    condition: str
    start: int
    end: int
    line: int
    insertable: bool
    insertion: int


@dataclass
class Machine:
    """A shell in the middle of a script, or of one of its branches.

    Attributes:
        variables: All that is known; a name in it not at all may be set by the image.
        arguments: `$0`, `$1` and so on.
        run: Runs statements; here so that words can run the commands in them.
        functions: Bodies by name, several where branches defined several.
        condition: Why what runs now may not run; empty where it surely does.
        doubts: Why what comes next may not run, by what may have been left.
        ended: What ended; None while the shell goes on.
        failed: Whether it ended as a failure, which a start that goes well does not meet.
        end_line: The line that ended it.
        export_all: Whether every assignment exports (`set -a`).
        probing: Whether only the names that are written matter: every branch runs, nothing is decided.
        output: What the last command printed; None where that is not known.
        stdin: What the next command reads; None where that is not known.
        commands: Shared by all branches that really run.
        files: Contents by path; shared.
        local: In a function, its local variables' values outside.
        writes: Names written since a probe began.
        budget: Shared.
    """

    variables: dict[str, Variable]
    arguments: list[Word]
    run: Callable[["Machine", Sequence[Node]], Status]
    functions: dict[str, tuple[Node, ...]] = field(default_factory=dict)
    condition: str = ""
    doubts: dict[End, str] = field(default_factory=dict)
    ended: End | None = None
    failed: bool = False
    end_line: int = 0
    export_all: bool = False
    probing: bool = False
    output: Pieces | None = None
    stdin: Pieces | None = None
    commands: list[Found] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    local: dict[str, Variable | None] | None = None
    writes: set[str] = field(default_factory=set)
    budget: Budget = field(default_factory=Budget)

    @property
    def reason(self) -> str:
        """Why what runs now may not run."""
        return self.condition or next(iter(self.doubts.values()), "")

    def fork(self, condition: str = "") -> "Machine":
        """A copy that goes its own way, sharing what was found."""
        other = copy(self)
        other.variables = dict(self.variables)
        other.arguments = list(self.arguments)
        other.functions = dict(self.functions)
        other.doubts = dict(self.doubts)
        other.condition = condition or self.condition
        return other

    def probe(self) -> "Machine":
        """A copy that finds out which names are written; what it finds besides is thrown away."""
        other = self.fork()
        other.probing, other.commands, other.files, other.writes = True, [], dict(self.files), set()
        return other

    def end(self, what: End, line: int, *, failed: bool = False) -> None:
        """Nothing runs here any more; a probe goes on all the same."""
        if self.probing:
            return
        self.ended, self.end_line, self.failed = what, line, failed

    def past(self, what: End) -> None:
        """Goes on behind the loop or function that was left."""
        self.doubts.pop(what, None)
        if self.ended is what:
            self.ended = None

    def set(self, name: str, variable: Variable) -> None:
        """Assigns; what was exported stays exported.

        Raises:
            ShellError: Values have grown too long.
        """
        old = self.variables.get(name)
        exported = variable.exported or self.export_all or (old is not None and old.exported)
        self.variables[name] = replace(variable, exported=exported) if exported != variable.exported else variable
        self.writes.add(name)
        size = variable.size
        if size > MAX_SIZE:
            raise ShellError(f"the variable {name} grows too long to be read")
        self.budget.spend(1 + size // 64)

    def forget(self, name: str) -> None:
        """Makes a variable's value unknown."""
        old = self.variables.get(name)
        array = old is not None and old.array
        self.set(name, Variable((unknown(name, splits=array),), array=array))

    def forget_all(self) -> None:
        """Makes all variables unknown: commands ran that are not known."""
        for name in list(self.variables):
            self.forget(name)

    def join(self, branches: "Sequence[Machine]") -> None:
        """Goes on behind branches of which one ran, and it is not known which."""
        alive = [branch for branch in branches if branch.ended is None]
        for branch in branches:
            self.doubts.update(branch.doubts)
            if branch.ended is not None and alive and not branch.failed:
                self.doubts[branch.ended] = f"unless line {branch.end_line} {branch.ended}"
        if not alive:
            self._end_all(branches)
            return
        self.variables = _merged(alive)
        self.arguments = _merged_arguments(alive)
        self.functions = _merged_functions(alive)
        self.export_all = any(branch.export_all for branch in alive)
        self.output = alive[0].output if all(branch.output == alive[0].output for branch in alive) else None

    def _end_all(self, branches: "Sequence[Machine]") -> None:
        last = min(branches, key=lambda branch: _NARROWEST.index(branch.ended or End.SCRIPT))
        self.end(last.ended or End.SCRIPT, last.end_line, failed=all(branch.failed for branch in branches))
        for branch in branches:
            if branch.ended is not last.ended and branch.ended is not None and not branch.failed:
                self.doubts[branch.ended] = f"unless line {branch.end_line} {branch.ended}"


def _merged(branches: Sequence[Machine]) -> dict[str, Variable]:
    first, *rest = (branch.variables for branch in branches)
    merged = {}
    for name in dict.fromkeys(name for branch in branches for name in branch.variables):
        value = first.get(name)
        others = [variables.get(name) for variables in rest]
        if value is not None and all(other is value or other == value for other in others):
            merged[name] = value
        else:
            merged[name] = _either(name, [value, *others])
    return merged


def _either(name: str, values: Sequence[Variable | None]) -> Variable:
    known = [value for value in values if value is not None]
    array = any(value.array for value in known)
    texts = {value.texts for value in known}
    (same,) = texts if len(texts) == 1 and len(known) == len(values) else (None,)
    return Variable(
        (unknown(name, splits=array),) if same is None else tuple((Piece(text),) if text else () for text in same),
        array=array,
        exported=any(value.exported for value in known),
        scripted=any(value.scripted for value in known),
    )


def _merged_arguments(branches: Sequence[Machine]) -> list[Word]:
    first = branches[0].arguments
    if all(branch.arguments == first for branch in branches):
        return first
    return [*first[:1], Word(unknown("@", splits=True))]


def _merged_functions(branches: Sequence[Machine]) -> dict[str, tuple[Node, ...]]:
    merged: dict[str, tuple[Node, ...]] = {}
    for branch in branches:
        for name, bodies in branch.functions.items():
            merged[name] = (*merged.get(name, ()), *(body for body in bodies if body not in merged.get(name, ())))
    return merged
