"""A list of words, as somebody types them → what an engine makes of them. Pure."""

from collections.abc import Sequence

from inferplan.api.values import Engine
from inferplan.dialects.container import Container
from inferplan.dialects.launch import Launch, launch_of
from inferplan.dialects.programs import Entry
from inferplan.dialects.reading import Reading, read_launch
from inferplan.dialects.words import Piece, Unreadable, UnreadableCode, Word

_ENTRIES = {Engine.VLLM: Entry.IMAGE, Engine.SGLANG: Entry.SGLANG, Engine.TGI: Entry.TGI}


def read_words(engine: Engine, words: Sequence[str], version: str | None) -> Reading | Unreadable:
    """What an engine is told by its arguments, with or without the command that starts it before them."""
    typed = Container("arguments", command=tuple(words))
    started = launch_of(typed)
    if isinstance(started, Launch):
        return read_launch(typed, started, version)
    if isinstance(started, Unreadable) and started.code is UnreadableCode.SEVERAL_STARTS:
        return started
    plain = tuple(Word((Piece(text, index, 0, len(text), True),)) for index, text in enumerate(words))
    launch = Launch(engine, _ENTRIES[engine], plain, {}, {})
    return read_launch(Container("arguments", args=tuple(words)), launch, version)
