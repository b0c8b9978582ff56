"""What this project writes is taken by every release's parser: a real argparse parser with that release's flags.

The parser is the lab's (lab/inferplan_lab/engine/flags.py): argparse and the data of the releases' own parsers, none of
the code that wrote the arguments. The engines' own parsers are asked in benchmarks/real_parsers.py.
"""

from collections.abc import Iterator
from itertools import islice

import pytest
from tests.support.command_lines import variant
from tests.support.emitted import Emitted, emitted

from inferplan.api.values import Engine
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.registry import releases
from inferplan_lab.engine.flags import parse

LINES = 40
FEWEST_SETTINGS = 118
"""Flags of the oldest release, 0.6.6, that can be set to a value of their own and need no other; 0.33.0 has 297."""


def first_values(version: str) -> Iterator[Emitted]:
    """One list for each setting and start command."""
    seen: set[tuple[str, str]] = set()
    for one in emitted(Engine.VLLM, version):
        if (one.entry, one.key) not in seen:
            seen.add((one.entry, one.key))
            yield one


@pytest.mark.parametrize("version", releases(Engine.VLLM))
def test_every_flag_that_can_be_set_is_written_so_that_the_release_takes_it(version: str) -> None:
    lists = list(first_values(version))
    assert len({one.key for one in lists}) >= FEWEST_SETTINGS
    for entry in ("serve", "api_server"):
        own = [one for one in lists if one.entry == entry]
        start = own[0].words[:1]
        together = [word for one in own for word in one.words[1:]]
        parse(version, [*start, *together], api_server=entry == "api_server")


@pytest.mark.parametrize("version", releases(Engine.VLLM))
def test_what_is_read_in_a_generated_command_line_is_what_the_parser_reads(version: str) -> None:
    compared = 0
    for seed in islice(range(10_000), LINES):
        made = variant(seed, Engine.VLLM, version)
        reading = read_engine(made.container, version)
        assert isinstance(reading, Reading)
        namespace = parse(version, made.words, api_server=reading.launch.entry == "apiServer")
        assert namespace.model == made.model
        for key, value in made.expected.items():
            own = getattr(namespace, {"max_batch_size": "max_num_seqs"}.get(key, key), None)
            if isinstance(value, bool | int | float) and own is not None and not isinstance(own, str):
                assert own == value, key
                compared += 1
    assert compared > LINES
