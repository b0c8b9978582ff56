"""Files that a pod sees out of ConfigMaps."""

from typing import Any

import pytest
import yaml

from inferplan.dialects.mounts import mounted_files

MAPS = {"engine": {"config.yaml": "max-num-seqs: 8", "other": "x"}}


@pytest.mark.parametrize(
    ("volume", "mount", "files"),
    [
        ("{configMap: {name: engine}}", "{mountPath: /etc/e/}", {"/etc/e/config.yaml": "C", "/etc/e/other": "x"}),
        (
            "{configMap: {name: engine, items: [{key: config.yaml, path: sub/c.yaml}]}}",
            "{mountPath: /e}",
            {"/e/sub/c.yaml": "C"},
        ),
        ("{configMap: {name: engine}}", "{mountPath: /e/c.yaml, subPath: config.yaml}", {"/e/c.yaml": "C"}),
        (
            "{configMap: {name: engine, items: [{key: other, path: a/b}, {key: other, path: c}]}}",
            "{mountPath: /e, subPath: a}",
            {"/e/b": "x"},
        ),
        ("{configMap: {name: engine, items: [{key: gone, path: g}]}}", "{mountPath: /e}", {"/e/g": None}),
        ("{configMap: {name: unknown}}", "{mountPath: /e}", {"/e": None}),
        ("{configMap: {name: unknown}}", "{mountPath: /e/c.yaml, subPath: c.yaml}", {"/e/c.yaml": None}),
        ("{configMap: {name: unknown, items: [{key: a, path: b}]}}", "{mountPath: /e}", {"/e/b": None}),
        ("{configMap: {name: engine}}", "{mountPath: /e, subPathExpr: $(NAME)}", {"/e": None}),
        (
            "{projected: {sources: [{secret: {}}, {configMap: {name: engine, items: [{key: other, path: o}]}}]}}",
            "{mountPath: /e}",
            {"/e/o": "x"},
        ),
        ("{secret: {secretName: s}}", "{mountPath: /e}", {}),
        ("{emptyDir: {}}", "{mountPath: /e, subPathExpr: x}", {}),
        ("{configMap: {name: engine}}", "{}", {}),
        ("{configMap: 7, projected: []}", "{mountPath: /e}", {}),
    ],
)
def test_a_mounted_config_map_gives_files(volume: str, mount: str, files: dict[str, str | None]) -> None:
    pod_spec: dict[str, Any] = {"volumes": [{"name": "v", **yaml.safe_load(volume)}, 7]}
    container = {"volumeMounts": [{"name": "v", **yaml.safe_load(mount)}, {"name": "elsewhere", "mountPath": "/x"}]}
    contents = {"C": "max-num-seqs: 8"}
    expected = {path: contents.get(content or "", content) for path, content in files.items()}
    assert mounted_files(pod_spec, container, MAPS) == expected


@pytest.mark.parametrize("nonsense", [None, 7, "x", {"a": 1}, [None]])
def test_nonsense_gives_no_files(nonsense: object) -> None:
    assert mounted_files({"volumes": nonsense}, {"volumeMounts": nonsense}, MAPS) == {}
