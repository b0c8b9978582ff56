"""Finds credentials with kopf's own login functions and turns them into a plain connection."""

import os
from pathlib import Path

import kopf
import yaml

from inferplan.kube.connection import Connection

TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where a pod's service account token is projected (and where kopf reads it)."""


_UNUSABLE = (OSError, KeyError, ValueError, TypeError, AttributeError)
"""What kopf's login functions raise at a file that is no kubeconfig; OSError covers TLS errors."""


class NoCredentialsError(RuntimeError):
    """There is no way to log in; one line for people."""


def log_in(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """KUBECONFIG if it is set, else the pod's service account, else ~/.kube/config.

    Raises:
        NoCredentialsError: None of them is there, or the file cannot be used.
    """
    order = [kopf.login_with_service_account, kopf.login_with_kubeconfig]
    if os.environ.get("KUBECONFIG"):
        order.reverse()
    try:
        found = next((info for login in order if (info := login(settings=settings)) is not None), None)
    except (*_UNUSABLE, yaml.YAMLError, kopf.LoginError) as error:
        raise _unusable(error) from None
    if found is None:
        raise NoCredentialsError("no credentials: set KUBECONFIG, or run in a pod with a service account")
    return found


def connection_of(info: kopf.ConnectionInfo) -> Connection:
    """The same credentials without kopf. A pod's token is read from its file, where it is renewed.

    Raises:
        NoCredentialsError: Certificates in them cannot be used.
    """
    from_pod = info.server == "https://kubernetes.default.svc" and TOKEN_FILE.exists()
    try:
        tls = info.as_ssl_context()
    except _UNUSABLE as error:
        raise _unusable(error) from None
    return Connection(
        server=info.server,
        tls=tls,
        headers={} if from_pod else info.as_http_headers(),
        token_file=TOKEN_FILE if from_pod else None,
        namespace=info.default_namespace if from_pod else None,
    )


def _unusable(error: Exception) -> NoCredentialsError:
    text = " ".join(str(error).split())
    return NoCredentialsError(f"the kubeconfig cannot be used: {type(error).__name__}: {text}")
