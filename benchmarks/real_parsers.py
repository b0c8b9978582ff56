r"""Holds argument lists against the engines' own parsers: does each release accept what this project says it accepts?

    PYTHONPATH=operator .venv/bin/python benchmarks/registry_arguments.py > /tmp/registry_arguments.jsonl
    .venv/bin/python benchmarks/real_parsers.py /tmp/registry_arguments.jsonl \
        --python ENGINE_VENV/bin/python --vllm TREES --sglang TREES

An item is a JSON object, one a line: engine, version, entry ("serve" or "api_server"), args; accept (true where it is
left out: whether the release should accept it), expect (values that its parser should read, by a flag or by the
engine's own name). TREES hold the unzipped wheel of each release (only its *.py files are needed) in a folder of its
version; ENGINE_VENV has their dependencies (scripts/dump_vllm_args.py and dump_sglang_args.py say which). The result is
stored under the item file's name: per release the number of lists, and each one about which parser and project
disagree.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "real_parsers.json"

Item = Mapping[str, Any]


def ask(python: Path, engine: str, tree: Path, items: list[Item]) -> list[dict[str, Any]]:
    """What one release's parser says to each list.

    Raises:
        SystemExit: The release does not answer; its own last words say why.
    """
    command = [str(python), str(HERE / "engine_worker.py"), engine, str(tree)]
    asked = "".join(json.dumps(item) + "\n" for item in items)
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(items):
        sys.exit(f"{engine} {tree.name}: {len(answers)} answers to {len(items)} lists\n{done.stderr[-2000:]}")
    return answers


def disagreement(item: Item, answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """What parser and project say differently about a list; None where they agree."""
    said = {"args": item["args"], "entry": item["entry"]}
    if answer["ok"] is not item.get("accept", True):
        return said | {"parser": answer["error"] or "accepted"}
    wrong = {
        name: {"expected": value, "parser": answer["got"].get(name)}
        for name, value in (item.get("expect") or {}).items()
        if answer["ok"] and answer["got"].get(name) != value
    }
    return said | {"values": wrong} if wrong else None


def outcome(items: list[Item], answers: list[dict[str, Any]]) -> dict[str, Any]:
    """The result for one release."""
    found = [disagreement(item, answer) for item, answer in zip(items, answers, strict=True)]
    return {
        "lists": len(items),
        "accepted": sum(answer["ok"] for answer in answers),
        "refused": sum(not answer["ok"] for answer in answers),
        "disagreements": [entry for entry in found if entry is not None],
    }


def grouped(lines: Iterable[str]) -> dict[tuple[str, str], list[Item]]:
    """Items by engine and version."""
    groups: dict[tuple[str, str], list[Item]] = {}
    for line in lines:
        item = json.loads(line)
        groups.setdefault((item["engine"], item["version"]), []).append(item)
    return groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", type=Path)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--vllm", type=Path, required=True)
    parser.add_argument("--sglang", type=Path, required=True)
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    trees = {"vllm": options.vllm, "sglang": options.sglang}
    found: dict[str, Any] = {}
    for (engine, version), items in grouped(options.items.read_text("utf-8").splitlines()).items():
        tree = trees[engine] / version
        if not tree.is_dir():
            found[f"{engine} {version}"] = {"lists": len(items), "not_asked": "no tree"}
            continue
        entry = outcome(items, ask(options.python, engine, tree, items))
        found[f"{engine} {version}"] = entry
        print(f"{engine} {version}: {entry['lists']} lists, {len(entry['disagreements'])} disagreements", flush=True)
    stored = json.loads(options.result.read_text("utf-8")) if options.result.exists() else {}
    stored[options.items.stem] = found
    options.result.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
