"""Certificates for TLS on loopback, made by openssl: an authority, and what it signs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, PEM."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority of one test; its files lie in `folder`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = name
        self._own = Pair(folder / f"{name}.crt", folder / f"{name}.key")
        _openssl("req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}", *_files(self._own))

    @property
    def certificate(self) -> Path:
        """What its certificates are checked against."""
        return self._own.certificate

    def sign(self, name: str, alternative: str = "IP:127.0.0.1") -> Pair:
        """A new pair with this common name and subjectAltName."""
        pair = Pair(self._folder / f"{self._name}-{name}.crt", self._folder / f"{self._name}-{name}.key")
        issuer = ("-CA", str(self._own.certificate), "-CAkey", str(self._own.key))
        extension = ("-addext", f"subjectAltName={alternative}", "-addext", "basicConstraints=CA:FALSE")
        _openssl("req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}", *extension, *issuer, *_files(pair))
        return pair


def _files(pair: Pair) -> tuple[str, ...]:
    return ("-out", str(pair.certificate), "-keyout", str(pair.key))


def _openssl(*words: str) -> None:
    done = subprocess.run(("openssl", *words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
