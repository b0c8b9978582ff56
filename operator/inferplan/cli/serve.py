"""`inferplan serve`: runs the HTTP API."""

import argparse
import sys
from collections.abc import Sequence

from inferplan.cli.clock import now
from inferplan.cli.errors import BadInputError, CannotRunError
from inferplan.cli.parsers import command_parser
from inferplan.observe.allow_list import DEFAULT, AllowListError, allow_list
from inferplan.web.server import CannotListenError, serve

_DESCRIPTION = """\
Runs the HTTP API: POST /api/v1/analyze and /api/v1/optimize, its description at /openapi.json, pages at /docs.
No cluster is needed. An answer rests on what the request says; /api/v1/analyze also asks a running engine for its
/metrics pages, on this machine unless --allow says where else.
By default only this machine is answered. It stops on SIGTERM and Ctrl-C."""
_PORT_MAX = 65535


def run(words: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    parser = command_parser("serve", _DESCRIPTION, "inferplan serve --port 8002")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=8002, type=_port, help="port, 0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--allow",
        metavar="PLACE",
        action="append",
        help=(
            "engines that a request may name, instead of this machine's: CIDR, address or host name, with or without"
            " port; may be repeated"
        ),
    )
    options = parser.parse_args(words)
    try:
        allowed = allow_list(options.allow or DEFAULT)
    except AllowListError as error:
        raise BadInputError(f"--allow: {error}") from None
    try:
        serve(options.host, options.port, now, allowed, ready=_announce)
    except CannotListenError as error:
        raise CannotRunError(str(error)) from None
    return 0


def _announce(url: str) -> None:
    print(f"InferPlan answers at {url}, pages at {url}/docs", file=sys.stderr, flush=True)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > _PORT_MAX:
        raise argparse.ArgumentTypeError(f'"{text}" is no port from 0 to {_PORT_MAX}')
    return int(text)
