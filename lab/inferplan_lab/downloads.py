"""Official releases over HTTP: a checksum for every file, nothing half there, no waiting without internet."""

import hashlib
import http.client
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from shutil import copyfileobj
from threading import Thread

from inferplan_lab.cache import Target
from inferplan_lab.catalog import Program

ANSWER_SECONDS = 5  # look-up, connection, TLS, one redirect and the headers together
STALL_SECONDS = 20
OVERALL_SECONDS = 600  # longer than that, and the build is faster
PROGRESS_SECONDS = 10
CHUNK_BYTES = 1 << 20
OFF = "off"


class DownloadError(RuntimeError):
    """This file cannot be had this way; the message is one line that says why."""


class UnreachableError(DownloadError):
    """The host cannot be reached at all: no use in asking for more."""


@dataclass(frozen=True)
class Downloader:
    """Downloads programs.

    Attributes:
        mirror: A URL prefix that stands before every official host (PREFIX/dl.k8s.io/release/…); empty
            for the hosts themselves.
        target: The machine that the programs are for.
        report: Gets a line of progress at a time.
    """

    mirror: str
    target: Target
    report: Callable[[str], None]

    def fetch(self, program: Program, folder: Path) -> str:
        """Put the program into the folder, verified and executable; returns what was verified, for people.

        Raises:
            DownloadError: It could not be had, or is not what its checksum says. The folder then holds none.
        """
        release = program.download
        if release is None:
            raise DownloadError(f"{program.name} {program.version}: its project releases no binary")
        url, sums_url = self._fill(release.url, program), self._fill(release.checksums_url, program)
        expected = find_checksum(self._text(sums_url), url.rpartition("/")[2])
        partial = folder / "download"
        try:
            digest = self._stream(url, partial, program.name)
            if digest != expected:
                raise DownloadError(f"{url}: SHA-256 is {digest}, {sums_url} says {expected}: deleted")
            _unpack(release.member and self._fill(release.member, program), partial, folder / program.name)
        finally:
            partial.unlink(missing_ok=True)
        return f"downloaded from {url}\nsha256 {digest} as {sums_url} says"

    def _fill(self, template: str, program: Program) -> str:
        text = template.format(name=program.name, version=program.version, os=self.target.os, arch=self.target.arch)
        return text.replace("https://", self.mirror.rstrip("/") + "/", 1) if self.mirror else text

    def _text(self, url: str) -> str:
        with _open(url) as response:
            return response.read(CHUNK_BYTES).decode("utf-8", errors="replace")

    def _stream(self, url: str, path: Path, name: str) -> str:
        """Write the body to the file; returns its SHA-256."""
        digest, received, started = hashlib.sha256(), 0, time.monotonic()
        announced = started
        with _open(url) as response, path.open("wb") as stream:
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := _read(response, url):
                stream.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                now = time.monotonic()
                if now - started > OVERALL_SECONDS:
                    raise DownloadError(f"{url}: not complete after {OVERALL_SECONDS} s")
                if now - announced > PROGRESS_SECONDS:
                    announced = now
                    self.report(f"downloading {name} … {received >> 20} of {total >> 20} MiB")
        if received < total:
            raise DownloadError(f"{url}: cut off after {received} of {total} bytes")
        return digest.hexdigest()


def _unpack(member: str | None, partial: Path, final: Path) -> None:
    """Turn the verified file, or this member of it, into the program."""
    if member is None:
        partial.rename(final)
    else:
        _extract(partial, member, final)
    final.chmod(0o755)


def find_checksum(text: str, file_name: str) -> str:
    """Return the digest for a file out of a checksum file: the bare digest, or lines of digest and name.

    Raises:
        DownloadError: It names no SHA-256 for this file.
    """
    for line in text.splitlines():
        words = line.split()
        fits = len(words) == 1 or (len(words) == 2 and words[1].lstrip("*") == file_name)  # noqa: PLR2004
        if fits and len(words[0]) == hashlib.sha256().digest_size * 2:
            return words[0].lower()
    raise DownloadError(f"{file_name}: its checksum file holds no SHA-256 for it")


def _extract(archive: Path, member: str, final: Path) -> None:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            source = tar.extractfile(member)
            if source is None:
                raise DownloadError(f"{member}: no plain file in its archive")
            with source, final.open("wb") as stream:
                copyfileobj(source, stream)
    except (KeyError, tarfile.TarError, OSError) as error:
        final.unlink(missing_ok=True)
        raise DownloadError(f"{member}: not in its archive ({error})") from error


def _open(url: str) -> http.client.HTTPResponse:
    """Ask for a URL; in a thread, as looking up a host name obeys no timeout.

    Raises:
        UnreachableError: No answer from the host in time.
        DownloadError: The host says no.
    """
    answers: SimpleQueue[http.client.HTTPResponse | Exception] = SimpleQueue()
    Thread(target=_ask, args=(url, answers), daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except Empty:
        raise UnreachableError(f"{url}: no answer within {ANSWER_SECONDS} s") from None
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        raise DownloadError(f"{url}: HTTP {answer.code}")
    if isinstance(answer, Exception):
        raise UnreachableError(f"{url}: {getattr(answer, 'reason', answer)}")
    return answer


def _ask(url: str, answers: "SimpleQueue[http.client.HTTPResponse | Exception]") -> None:
    try:
        answers.put(urllib.request.urlopen(url, timeout=STALL_SECONDS))  # noqa: S310  # from the catalogue
    except (OSError, http.client.HTTPException, ValueError) as error:
        answers.put(error)


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    try:
        return response.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url}: broke off ({error})") from error
