"""Lengths of functions and files, docstrings included: median, 90th percentile, longest.

.venv/bin/python benchmarks/code_size.py
"""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def functions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, node.name


def report(title: str, folder: Path) -> str:
    lengths: list[tuple[int, str]] = []
    files: list[tuple[int, str]] = []
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        files.append((text.count("\n"), str(path.relative_to(ROOT))))
        lengths += [(size, f"{path.name}:{name}") for size, name in functions(ast.parse(text))]
    sizes = sorted(size for size, _ in lengths)
    file_sizes = sorted(size for size, _ in files)
    return (
        f"{title}: {len(files)} files, {sum(file_sizes)} lines, {len(sizes)} functions\n"
        f"  function lines: median {statistics.median(sizes):.0f}, p90 {sizes[int(0.9 * len(sizes))]},"
        f" max {max(lengths)[0]} ({max(lengths)[1]})\n"
        f"  file lines:     median {statistics.median(file_sizes):.0f}, p90 {file_sizes[int(0.9 * len(files))]},"
        f" max {max(files)[0]} ({max(files)[1]})"
    )


for name, folder in (("inferplan", "operator"), ("lab", "lab"), ("tests", "tests"), ("benchmarks", "benchmarks")):
    print(report(name, ROOT / folder))
