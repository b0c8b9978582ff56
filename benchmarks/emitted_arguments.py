"""What this project writes and how it reads, as items for the engines' own parsers (benchmarks/real_parsers.py).

    PYTHONPATH=operator:. .venv/bin/python benchmarks/emitted_arguments.py > /tmp/emitted_arguments.jsonl

For each known release of vLLM and SGLang: every list that the project can emit, which the release must accept; and
some hundred generated command lines (tests/support/command_lines.py), which it must accept, unless the project says
that it refuses them, and read to the values that the project reads in them.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.support.command_lines import Variant, variant
from tests.support.emitted import emitted

from inferplan.api.values import Engine
from inferplan.dialects.drift import Drift, findings
from inferplan.dialects.keys import spelling_of
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.registry import ValueType, release, releases

LINES_PER_RELEASE = 250
_AS_THEY_ARE = {
    ValueType.TEXT,
    ValueType.INTEGER,
    ValueType.NUMBER,
    ValueType.HUMAN_INTEGER,
    ValueType.SI_INTEGER,
    ValueType.LOWER_SNAKE,
}
_OWN_VALUES = {"enable_amd_monokernel"}  # SGLang 0.5.23 makes true of the text "amd"


def items(engine: Engine, version: str) -> Iterator[dict[str, Any]]:
    known = {"engine": engine.value, "version": version}
    for one in emitted(engine, version):
        yield {**known, "entry": one.entry, "args": list(one.words)}
    for seed in range(LINES_PER_RELEASE):
        made = variant(seed, engine, version)
        reading = read_engine(made.container, version)
        if isinstance(reading, Reading):
            entry = "api_server" if reading.launch.entry == "apiServer" else "serve"
            accept = all(finding.code is not Drift.REFUSED for finding in findings(reading))
            item = {**known, "entry": entry, "args": list(made.words), "accept": accept}
            yield {**item, "expect": expected(made, reading)}


def expected(made: Variant, reading: Reading) -> dict[str, object]:
    """What was read, by flag; only values that the parser keeps as they are."""
    found: dict[str, object] = {}
    for key, setting in reading.config.items():
        spelling = spelling_of(reading.launch.engine, key)
        dest = spelling.dest if spelling is not None else key
        flag = release(reading.launch.engine, made.version).named(dest)
        if flag is None or (flag.type not in _AS_THEY_ARE and not isinstance(setting.value, bool)):
            continue
        if flag.deprecated or not flag.names or dest in _OWN_VALUES:
            continue  # SGLang warns of some and sets nothing
        found[flag.names[0]] = json.loads(str(setting.value)) if flag.nargs in {"+", "*"} else setting.value
    return found


def main() -> None:
    for engine in (Engine.VLLM, Engine.SGLANG):
        for version in releases(engine):
            for item in items(engine, version):
                print(json.dumps(item))


if __name__ == "__main__":
    main()
