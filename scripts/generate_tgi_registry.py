"""Write the flag registry's data of TGI from its launcher's source.

Usage: python scripts/generate_tgi_registry.py MAIN_RS

MAIN_RS is launcher/src/main.rs of huggingface/text-generation-inference. The project is in maintenance mode, so one
entry, "3", stands for all of TGI 3: it was made from commit db931fcf (2026-01-08, after v3.3.7). Since v3.0.0 only
--enable-prefill-logprobs (by 3.2.3) and --prometheus-port (by 3.3.0) were added; nothing was taken away or changed.
Each field of its `struct Args` is a flag of clap, and unless it says otherwise a variable in capitals.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "operator" / "inferplan" / "dialects" / "data" / "tgi.json"
FIELD = re.compile(r"#\[clap\(([^\]]*)\)\]\s*(\w+): ([^\n]+),\n")
TYPES = {
    "String": "text",
    "usize": "integer",
    "u16": "integer",
    "u32": "integer",
    "u64": "integer",
    "f32": "number",
    "bool": "boolean",
    "Vec<usize>": "integers",
    "Vec<String>": "text",
}
BUILT_IN: tuple[dict[str, Any], ...] = (
    {"dest": "help", "names": ["--help", "-h"], "kind": "help"},
    {"dest": "version", "names": ["--version", "-V"], "kind": "help"},
)
"""What clap adds to every program that has a version."""


def _kebab(name: str) -> str:
    """How clap writes a variant of an enum: "BitsandbytesNf4" is "bitsandbytes-nf4"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def _variants(source: str, enum: str) -> list[str]:
    """The values that an enum's flag takes: names given to clap, or else the variants' own."""
    body = re.search(rf"enum {enum} {{\n(.*?)\n}}", source, re.DOTALL)
    if body is None:
        sys.exit(f"no enum {enum}: say in TYPES what it reads")
    found = re.findall(r'^\s+(?:#\[clap\(name = "([^"]+)"\)\]\s+)?([A-Z]\w*),$', body[1], re.MULTILINE)
    return [given or _kebab(name) for given, name in found]


def _flag(source: str, options: str, name: str, rust: str, taken: set[str]) -> dict[str, Any]:
    """One flag; a short name that an earlier flag took (-p) is left to that one, as clap does in release builds."""
    plain = re.sub(r"^Option<(.*)>$", r"\1", rust)
    names = [f"--{name.replace('_', '-')}"]
    short = f"-{name[0]}"
    if re.search(r"\bshort\b", options) and short not in taken:
        names.append(short)
    kind = "true" if rust == "bool" else "append" if plain.startswith("Vec<") else "value"
    flag: dict[str, Any] = {"dest": name, "names": names, "kind": kind, "type": TYPES.get(plain, "text")}
    if plain not in TYPES:
        flag["choices"] = _variants(source, plain)
    default = re.search(r'default_value = "([^"]*)"', options)
    if default or rust == "bool":
        flag["default"] = default[1] if default else "False"
    if re.search(r"\benv\b", options):
        flag["environment"] = name.upper()
    return flag


def flags_of(source: str) -> list[dict[str, Any]]:
    """The launcher's flags, in its order."""
    struct = source[source.index("struct Args {") :]
    flags: list[dict[str, Any]] = []
    for options, name, rust in FIELD.findall(struct[: struct.index("\n}\n") + 1]):
        taken = {spelling for flag in flags for spelling in flag["names"]}
        flags.append(_flag(source, options, name, rust, taken))
    return [*flags, *BUILT_IN]


def main() -> None:
    """Read the path from the command line and write the file."""
    flags = flags_of(Path(sys.argv[1]).read_text("utf-8"))
    lines = ",\n".join(json.dumps(flag, separators=(",", ":")) for flag in flags)
    numbers = json.dumps(list(range(len(flags))), separators=(",", ":"))
    DATA.write_text(f'{{"flags":[\n{lines}\n],\n"releases":{{\n"3":{numbers}\n}}}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
