"""Probes as data: what a pod's probe fields mean, and the state machine of successes and failures. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Verdict(Enum):
    """What a probe has established so far."""

    UNKNOWN = "unknown"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True)
class HttpCheck:
    """GET a path; a status from 200 to 399 is a success."""

    host: str
    port: int
    path: str
    scheme: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TcpCheck:
    """Open a connection."""

    host: str
    port: int


@dataclass(frozen=True)
class ExecCheck:
    """Run a command beside the container; exit status 0 is a success."""

    command: tuple[str, ...]


Check = HttpCheck | TcpCheck | ExecCheck


@dataclass(frozen=True)
class Probe:
    """One probe of a container, with Kubernetes' defaults filled in and its times scaled."""

    check: Check
    initial_delay_seconds: float
    period_seconds: float
    timeout_seconds: float
    success_threshold: int
    failure_threshold: int
    grace_seconds: float | None


@dataclass(frozen=True)
class ProbeState:
    """The verdict and how many equal results led to the present run of results."""

    verdict: Verdict = Verdict.UNKNOWN
    last: bool | None = None
    run: int = 0

    def observe(self, probe: Probe, *, success: bool) -> "ProbeState":
        """Return the state after one more result; the verdict changes when the run reaches its threshold."""
        run = self.run + 1 if success is self.last else 1
        threshold = probe.success_threshold if success else probe.failure_threshold
        verdict = self.verdict
        if run >= threshold:
            verdict = Verdict.SUCCESS if success else Verdict.FAILURE
        return ProbeState(verdict=verdict, last=success, run=run)


def parse_probe(container: Mapping[str, Any], field: str, pod_ip: str, scale: float = 1.0) -> Probe | None:
    """Return the probe in the container's `field` (such as `readinessProbe`), or None where there is none.

    Args:
        container: the container's spec; its ports give named ports their numbers.
        field: which probe.
        pod_ip: the host that is asked where the probe names none.
        scale: factor on the initial delay and the period, not on the timeout.

    Raises:
        ValueError: a named port isn't declared, or the probe is of a kind that the node doesn't know (gRPC).
    """
    raw = container.get(field)
    if raw is None:
        return None
    return Probe(
        check=_check(raw, container, pod_ip),
        initial_delay_seconds=float(raw.get("initialDelaySeconds", 0)) * scale,
        period_seconds=float(raw.get("periodSeconds", 10)) * scale,
        timeout_seconds=float(raw.get("timeoutSeconds", 1)),
        success_threshold=int(raw.get("successThreshold", 1)),
        failure_threshold=int(raw.get("failureThreshold", 3)),
        grace_seconds=raw.get("terminationGracePeriodSeconds"),
    )


def resolve_port(port: int | str, container: Mapping[str, Any]) -> int:
    """Return the number of a port that is given by number or by the name of a containerPort.

    Raises:
        ValueError: the container declares no port of that name.
    """
    if isinstance(port, int) or port.isdigit():
        return int(port)
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise ValueError(f"container {container.get('name')}: port {port!r} is not among its ports")


def _check(raw: Mapping[str, Any], container: Mapping[str, Any], pod_ip: str) -> Check:
    if "exec" in raw:
        return ExecCheck(tuple(raw["exec"].get("command") or ()))
    if "tcpSocket" in raw:
        tcp = raw["tcpSocket"]
        return TcpCheck(tcp.get("host") or pod_ip, resolve_port(tcp["port"], container))
    if "httpGet" in raw:
        return http_check(raw["httpGet"], container, pod_ip)
    raise ValueError(f"container {container.get('name')}: only httpGet, tcpSocket and exec probes are supported")


def http_check(raw: Mapping[str, Any], container: Mapping[str, Any], pod_ip: str) -> HttpCheck:
    """Return an httpGet action with its defaults filled in.

    Raises:
        ValueError: a named port isn't declared.
    """
    return HttpCheck(
        host=raw.get("host") or pod_ip,
        port=resolve_port(raw["port"], container),
        path=raw.get("path") or "/",
        scheme=str(raw.get("scheme", "HTTP")).lower(),
        headers=tuple((header["name"], header["value"]) for header in raw.get("httpHeaders") or ()),
    )
