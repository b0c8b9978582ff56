"""The CustomResourceDefinitions, made from the models. Pure but for `main`, which writes the files.

    python -m inferplan.api.crd crds/

The committed files in crds/ are what users, tests and deploy/ install; a test compares them with `render()`.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from inferplan.api.base import WireModel
from inferplan.api.instance import InstanceSpec
from inferplan.api.instance_status import InstanceStatus
from inferplan.api.kinds import GROUP, INFERENCE_INSTANCE, OPTIMIZATION_PLAN, VERSION, Column, Kind
from inferplan.api.plan import PlanSpec, PlanStatus
from inferplan.api.rules import INSTANCE_NAME_FITS, Rule, rules
from inferplan.api.structural import Schema, structural_schema

HEADER = "# Generated from operator/inferplan/api by `make crds`; do not edit.\n"
_API_VERSION_TEXT = f"Version of the API: {GROUP}/{VERSION}."
_LINE_WIDTH = 110


@dataclass(frozen=True)
class Definition:
    """What a CRD is made of: a kind, its models, and rules on the whole object."""

    kind: Kind
    spec: type[WireModel]
    status: type[WireModel]
    rules: tuple[Rule, ...] = ()


DEFINITIONS = (
    Definition(INFERENCE_INSTANCE, InstanceSpec, InstanceStatus, (INSTANCE_NAME_FITS,)),
    Definition(OPTIMIZATION_PLAN, PlanSpec, PlanStatus),
)


def crd_documents() -> tuple[dict[str, Any], ...]:
    """The CustomResourceDefinitions as documents, in the order of `KINDS`."""
    return tuple(_document(definition) for definition in DEFINITIONS)


def render() -> dict[str, str]:
    """File name → text of every committed CRD file."""
    return {f"{document['metadata']['name']}.yaml": HEADER + dump(document) for document in crd_documents()}


def dump(document: Mapping[str, Any]) -> str:
    """Block YAML, the same text for the same document."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, width=_LINE_WIDTH, allow_unicode=True)


def write(folder: Path) -> None:
    """Writes the files; what else lies in the folder stays."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (folder / name).write_text(text, "utf-8")


class _Dumper(yaml.SafeDumper):
    """Writes shared parts out each time, and list items indented as people write them."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        return True

    @override
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def _document(definition: Definition) -> dict[str, Any]:
    kind = definition.kind
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {
            "group": GROUP,
            "names": _names(kind),
            "scope": "Namespaced",
            "versions": [_version(definition)],
        },
    }


def _names(kind: Kind) -> dict[str, Any]:
    return {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.singular,
        "shortNames": list(kind.short_names),
        "categories": ["inferplan"],
    }


def _version(definition: Definition) -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in definition.kind.columns],
        "schema": {"openAPIV3Schema": _object_schema(definition)},
    }


def _column(column: Column) -> dict[str, Any]:
    shown = {
        "name": column.name,
        "type": column.type,
        "description": column.description,
        "jsonPath": column.json_path,
    }
    return {**shown, "priority": column.priority} if column.priority else shown


def _object_schema(definition: Definition) -> Schema:
    schema: Schema = {
        "description": definition.kind.description,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"description": _API_VERSION_TEXT, "type": "string"},
            "kind": {"description": f"Always {definition.kind.kind}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(definition.spec),
            "status": structural_schema(definition.status),
        },
    }
    return {**schema, **rules(*definition.rules)} if definition.rules else schema


def main(arguments: list[str]) -> int:
    """Writes the CRD files into the folder named by the only argument."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m inferplan.api.crd DIR\n")
        return 2
    write(Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
