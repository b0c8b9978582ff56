"""`inferplan estimate`: memory and speed of configurations, one or thousands."""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial

from inferplan.api.estimate import Estimate
from inferplan.cli.documents import Document
from inferplan.cli.errors import BadInputError
from inferplan.cli.estimate_answer import Asked, answer
from inferplan.cli.estimate_document import estimate_document
from inferplan.cli.estimate_estimators import BUNDLED, estimator
from inferplan.cli.estimate_files import Files, Refused, read_files
from inferplan.cli.estimate_load import REQUESTS_MAX, TOKENS_MAX, Flags, whole_number
from inferplan.cli.estimate_print import PRINTERS
from inferplan.cli.output import note
from inferplan.cli.parsers import command_parser
from inferplan.estimate.memory_estimate import estimate_memory

_DESCRIPTION = """\
What a configuration takes and gives: memory per GPU term by term, KV cache and how many requests it holds, and
the latency and throughput of one replica under a load. Nothing is started and nothing is asked: it follows from the
model's config.json, the GPU's datasheet and the engine's settings. Every number has its interval and its source;
where one has no basis it is left out, and the reason stands in its place.

The files hold InferenceInstances, any number, and what belongs to them: Deployments, StatefulSets, ConfigMaps and
Nodes. The load is spec.workload (concurrency or requestsPerSecond, inputTokens, outputTokens), or the flags below."""
_EXAMPLE = """\
inferplan estimate -f instance.yaml
  inferplan estimate -f instance.yaml --batch 64 --input 1024 --output 256 -o json
  inferplan estimate -f candidates.yaml -o jsonl

exit codes: 0 fine, 2 bad input (a document that cannot be used does not keep the others from being estimated)"""


def run(words: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    options = _parser().parse_args(words)
    flags = Flags(options.batch, options.input, options.output_tokens)
    asked = Asked(flags, estimate_memory, estimator(options.estimator))
    files = read_files(options.filename, partial(note, "estimate"))
    refused = PRINTERS[options.format](_answers(files, asked), alone=len(files.entries) == 1)
    return 2 if refused else 0


def _answers(files: Files, asked: Asked) -> Iterator[Estimate | Refused]:
    for entry in files.entries:
        yield entry if isinstance(entry, Refused) else _answer(entry, files, asked)


def _answer(instance: Document, files: Files, asked: Asked) -> Estimate | Refused:
    try:
        return estimate_document(answer(instance, files.beside(instance), asked))
    except BadInputError as error:
        place = f"{instance.place}: "
        return Refused(place + "; ".join(line.removeprefix(place) for line in error.lines))
    except Exception as error:  # noqa: BLE001  a fault in one document's arithmetic must not lose the other answers
        return Refused(f"{instance.place}: a fault of inferplan, please report it: {type(error).__name__}: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("estimate", _DESCRIPTION, _EXAMPLE)
    parser.add_argument(
        "-f",
        "--filename",
        metavar="FILE",
        action="append",
        required=True,
        help="file with objects, - is standard input",
    )
    parser.add_argument(
        "--batch", metavar="N", type=whole_number(REQUESTS_MAX), help="requests in flight at once, per replica"
    )
    parser.add_argument("--input", metavar="N", type=whole_number(TOKENS_MAX), help="tokens per prompt, mean")
    parser.add_argument(
        "--output",
        dest="output_tokens",
        metavar="N",
        type=whole_number(TOKENS_MAX),
        help="tokens per answer, mean (the format is -o)",
    )
    parser.add_argument(
        "--estimator", metavar="NAME", default=BUNDLED, help="estimator of speed; default: %(default)s, the bundled one"
    )
    parser.add_argument(
        "-o",
        dest="format",
        choices=tuple(PRINTERS),
        default="table",
        help="jsonl: a line for each document, errors too; default: %(default)s",
    )
    return parser
