"""Kubeconfig files with a bearer token: written for the lab's users, read back by its helpers."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

NAME = "inferplan-lab"


@dataclass(frozen=True)
class Kubeconfig:
    """What it takes to reach an API server as one user.

    Attributes:
        server: https://address:port
        ca_pem: The certificates that the server is checked against, PEM.
        token: The bearer token.
    """

    server: str
    ca_pem: str
    token: str


def write(path: Path, config: Kubeconfig, namespace: str = "default") -> None:
    """Write the file whole or not at all, readable by its owner only (mode 600)."""
    ca_data = base64.b64encode(config.ca_pem.encode()).decode()
    context = {"cluster": NAME, "user": NAME, "namespace": namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": {"server": config.server, "certificate-authority-data": ca_data}}],
        "users": [{"name": NAME, "user": {"token": config.token}}],
        "contexts": [{"name": NAME, "context": context}],
        "current-context": NAME,
    }
    write_secret(path, yaml.safe_dump(document, sort_keys=False))


def read(path: Path) -> Kubeconfig:
    """Read a file that `write` wrote.

    Raises:
        OSError: It cannot be read.
        KeyError: It is not one of ours.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    cluster = document["clusters"][0]["cluster"]
    ca_pem = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return Kubeconfig(server=cluster["server"], ca_pem=ca_pem, token=document["users"][0]["user"]["token"])


def write_secret(path: Path, text: str) -> None:
    """Write a file whole or not at all with mode 600 from its first byte on."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    fresh.replace(path)
