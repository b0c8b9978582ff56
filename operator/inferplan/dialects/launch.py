"""A container → the engine that it starts, and the engine's own words. Pure.

Start commands, wrappers, shells and image entrypoints are looked through; a program that is not known here may make
anything of its arguments, so that nothing behind it is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inferplan.api.values import Engine
from inferplan.dialects.container import Container
from inferplan.dialects.environment import expand, with_placeholders
from inferplan.dialects.images import Args, args_of_image, engine_of_image
from inferplan.dialects.programs import (
    SHELLS,
    WRAPPERS,
    Entry,
    command_name,
    direct_start,
    is_harmless,
    program_of,
    shell_operands,
)
from inferplan.dialects.shell import Command, read_script
from inferplan.dialects.words import Piece, Unreadable, UnreadableCode, Word, cut

_DEPTH_MAX = 8  # a shell in a shell in a shell … ends somewhere


@dataclass(frozen=True)
class Script:
    """The script that a command stands in.

    Attributes:
        source: Which of the container's strings it is, or is part of.
        insertion: Place in that string where one more argument can be put in; -1 where none can.
    """

    source: int
    insertion: int


@dataclass(frozen=True)
class Launch:
    """An engine's start.

    Attributes:
        engine: What is started.
        entry: How.
        words: The engine's own words, behind its start command.
        variables: What its process sees of the environment, as far as it is known.
        files: Files whose content is known, by path; None for content that is not known.
        script: The innermost script that starts it; None where lists do.
        condition: Why it is not certain that it is started; empty where it is.
    """

    engine: Engine
    entry: Entry
    words: tuple[Word, ...]
    variables: Mapping[str, tuple[Piece, ...]]
    files: Mapping[str, str | None]
    script: Script | None = None
    condition: str = ""


@dataclass(frozen=True)
class _Context:
    container: str
    variables: Mapping[str, tuple[Piece, ...]]
    files: Mapping[str, str | None]
    script: Script | None = None
    condition: str = ""
    depth: int = 0
    problems: list[Unreadable] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)  # what runs and is not known here


def launch_of(container: Container) -> Launch | Unreadable | None:
    """The engine that a container starts; why that cannot be told; None where it starts none.

    A container that only looks like one (a router, a downloader) starts none.
    """
    words = tuple(expand(text, index, container.environment) for index, text in enumerate(container.strings))
    variables = {name: variable.pieces for name, variable in container.environment.variables.items()}
    context = _Context(container.name, variables, container.files)
    found = list(_starts(words, context))
    if found:
        return _chosen(found, container)
    return _by_image(container, words, context)


def _by_image(container: Container, words: tuple[Word, ...], context: _Context) -> Launch | Unreadable | None:
    engine = container.engine_hint or engine_of_image(container.image)
    if engine is None:
        return _lost(container, context)
    if context.problems:
        return context.problems[0]
    args = args_of_image(container.image, container.args)
    if container.command or args is Args.COMMAND_LINE:
        return _other_start(container, context)
    if args is Args.UNKNOWN and not words:
        return None  # an image that starts nothing by itself, and is given nothing to start
    if container.engine_hint is None and args is Args.UNKNOWN:
        why = "the image starts nothing by itself, and the arguments name no start command of an engine"
        return Unreadable(UnreadableCode.UNKNOWN_START, _place(container, "args"), why)
    entry = {Engine.VLLM: Entry.IMAGE, Engine.SGLANG: Entry.SGLANG, Engine.TGI: Entry.TGI}[engine]
    own = tuple(map(with_placeholders, words))
    return Launch(engine, entry, own, context.variables, context.files)


def _other_start(container: Container, context: _Context) -> Unreadable | None:
    """An engine's image that runs something else: what is known to start no engine is none."""
    if not context.programs:
        return None
    names = ", ".join(dict.fromkeys(context.programs))
    why = f"{names}: no start command of an engine that is known; what it makes of its arguments is not known"
    return Unreadable(UnreadableCode.UNKNOWN_START, _place(container, "command" if container.command else "args"), why)


def _lost(container: Container, context: _Context) -> Unreadable | None:
    """What to say of a container whose image is no engine's and whose command starts none that is known."""
    if container.words_without_image:
        why = "neither image nor command say what runs: a patch of another manifest; give the manifest that it patches"
        return Unreadable(UnreadableCode.PATCH_ONLY, _place(container, "args"), why)
    return context.problems[0] if context.problems and container.asks_for_gpus else None


def _chosen(found: Sequence[Launch], container: Container) -> Launch | Unreadable:
    """The one start; several of the same words are one."""
    distinct = {(launch.engine, launch.entry, tuple(word.text for word in launch.words)) for launch in found}
    if len(distinct) == 1:
        return found[0] if len(found) == 1 else replace(found[0], condition="")
    starts = "; ".join(launch.condition or "always" for launch in found)
    why = f"{len(found)} commands start an engine, with different arguments ({starts}); which one runs is not known"
    return Unreadable(UnreadableCode.SEVERAL_STARTS, _place(container, "command"), why)


def _place(container: Container, part: str) -> str:
    return f"containers[{container.name}].{part}"


def _shown(text: str) -> str:
    text = text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004  a line holds no more
    return " ".join(text.split()) or '""'


def _starts(words: Sequence[Word], context: _Context) -> Iterator[Launch]:
    """Every start of an engine that these words are, or that a shell among them runs."""
    if not words or words[0].unknown or context.depth > _DEPTH_MAX:
        return
    direct = _direct(words, context)
    program = program_of(words[0])
    if direct is not None:
        yield direct
    elif program in SHELLS:
        yield from _in_shell(words, context)
    elif program in WRAPPERS or program.startswith("ld-linux"):
        yield from _behind_wrapper(words, context)
    elif not is_harmless(words):
        context.programs.append(_shown(command_name(words)))


def _behind_wrapper(words: Sequence[Word], context: _Context) -> Iterator[Launch]:
    """The first word behind a wrapper that is a program known here; what stands between are its options."""
    variables = dict(context.variables)
    for index in range(1, len(words)):
        name, equals, _ = words[index].text.partition("=")
        if equals and name.isidentifier() and program_of(words[0]) in {"env", "sudo"}:
            variables[name] = cut(words[index].pieces, len(name) + 1, len(words[index].text))
        inner = replace(context, variables=variables, depth=context.depth + 1)
        found = list(_starts(words[index:], inner))
        if found:
            yield from found
            return


def _direct(words: Sequence[Word], context: _Context) -> Launch | None:
    """The engine that is started by the first words themselves."""
    start, rest = direct_start(words)
    if start is None:
        return None
    own = tuple(rest if context.script is not None else map(with_placeholders, rest))
    return Launch(*start, own, context.variables, context.files, context.script, context.condition)


def _in_shell(words: Sequence[Word], context: _Context) -> Iterator[Launch]:
    """What a shell's script starts: `sh -c SCRIPT [name args…]`, or a script file whose content is known."""
    operands, from_string = shell_operands(words[1:])
    if not operands:
        return
    script, arguments = operands[0], operands[1:]
    if from_string:
        mapping: tuple[Piece, ...] = script.pieces
        parameters = arguments or (words[0],)
    else:
        content = context.files.get(script.text)
        if content is None and is_harmless(operands):
            return
        if content is None:
            why = f"{_shown(words[0].text)} runs {_shown(script.text)}, whose content is not known"
            place = f"containers[{context.container}].command"
            context.problems.append(Unreadable(UnreadableCode.UNKNOWN_START, place, why))
            return
        mapping, parameters = (Piece(content),), (script, *arguments)
    yield from _in_script(mapping, parameters, context)


def _in_script(mapping: tuple[Piece, ...], parameters: Sequence[Word], context: _Context) -> Iterator[Launch]:
    text = "".join(piece.text for piece in mapping)
    read = read_script(
        text,
        source=mapping[0].source if mapping else -1,
        mapping=mapping,
        arguments=parameters,
        variables=context.variables,
        where=f"containers[{context.container}].command",
    )
    context.problems.extend(read.problems)
    files = {**context.files, **read.files}
    for command in read.commands:
        yield from _starts(command.words, _inside(command, mapping, files, context))


def _inside(
    command: Command,
    mapping: tuple[Piece, ...],
    files: Mapping[str, str | None],
    context: _Context,
) -> _Context:
    kept = {name: pieces for name, pieces in context.variables.items() if name not in command.unset}
    return replace(
        context,
        variables={**kept, **command.variables},
        files=files,
        script=Script(mapping[0].source if mapping else -1, command.insertion),
        condition=command.condition or context.condition,
        depth=context.depth + 1,
    )
