"""A repository's files in memory, and proposals for them."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from inferplan.dialects.container import Container
from inferplan.gitops.edit.change import change_of
from inferplan.gitops.edit.tree import FILE_MAX_BYTES, Kind
from inferplan.gitops.port import Proposal

ARGS = ("--model=meta-llama/Llama-3.1-8B-Instruct", "--max-num-seqs=32")
WANTED = ("--model=meta-llama/Llama-3.1-8B-Instruct", "--max-num-seqs=64")


@dataclass(frozen=True)
class MemoryTree:
    """Files by path; a str is UTF-8."""

    files: Mapping[str, str | bytes]
    odd: Mapping[str, Kind] = field(default_factory=dict)

    def kind(self, path: str) -> Kind:
        if path in self.odd:
            return self.odd[path]
        if path in self.files:
            return Kind.FILE
        return Kind.FOLDER if path == "" or any(name.startswith(f"{path}/") for name in self.files) else Kind.NOTHING

    def names(self, folder: str) -> tuple[str, ...]:
        inside = [path for path in (*self.files, *self.odd) if not folder or path.startswith(f"{folder}/")]
        return tuple(sorted({posixpath.relpath(path, folder or ".").split("/")[0] for path in inside}))

    def content(self, path: str) -> bytes | None:
        content = self.files[path]
        plain = content.encode() if isinstance(content, str) else content
        return plain if len(plain) <= FILE_MAX_BYTES else None


def proposal(before: tuple[str, ...] = ARGS, after: tuple[str, ...] = WANTED, **fields: Any) -> Proposal:
    """A proposal for Deployment llama in namespace serving."""
    commands = fields.pop("commands", ((), ()))
    given = {
        "namespace": "serving",
        "kind": "Deployment",
        "name": "llama",
        "container": "vllm",
        "branch": "inferplan/serving-llama-1a2b3c4d",
        "title": "llama: run 64 sequences at once",
        "body": "Requests wait while the KV cache is half empty.",
        **fields,
    }
    container = given["container"]
    return Proposal(
        before=Container(container, command=commands[0], args=before),
        after=Container(container, command=commands[1], args=after),
        **given,
    )


def deployment(name: str = "llama", *, namespace: str = "", args: tuple[str, ...] | None = ARGS, **more: Any) -> str:
    """A Deployment's manifest."""
    container = {"name": "vllm", "image": "vllm/vllm-openai:v0.10.0", **more}
    if args is not None:
        container["args"] = list(args)
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    document = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    return yaml.safe_dump(document, sort_keys=False)


def changed(files: Mapping[str, str | bytes], path: str, wanted: Proposal | None = None) -> Mapping[str, str]:
    """What a proposal changes, as text."""
    change = change_of(MemoryTree(files), path, wanted or proposal())
    return {name: content.decode() for name, content in change.items()}
