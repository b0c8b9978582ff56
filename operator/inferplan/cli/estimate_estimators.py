"""Estimators of speed by name: the bundled one, and those that other packages bring.

A package offers one as an entry point of the group `inferplan.estimators`: something that is called without
arguments and returns an object with `performance(situation, load)` (inferplan.estimate.port). None is loaded that
was not asked for by name.
"""

from importlib.metadata import entry_points

from inferplan.cli.errors import BadInputError, CannotRunError
from inferplan.estimate.port import Estimator
from inferplan.estimate.speed import StepTimeEstimator
from inferplan.web.problems import nearest

GROUP = "inferplan.estimators"
BUNDLED = "steps"


def estimator(name: str) -> Estimator:
    """The estimator of that name.

    Raises:
        BadInputError: There is none of that name.
        CannotRunError: It cannot be loaded here.
    """
    if name == BUNDLED:
        return StepTimeEstimator()
    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in offered:
        known = (BUNDLED, *sorted(offered))
        raise BadInputError(
            f'--estimator: "{name}" is not installed{nearest(name, known)}; there are: {", ".join(known)}'
        )
    try:
        made: Estimator = offered[name].load()()
    except Exception as error:  # noqa: BLE001  whatever another package's import or constructor raises
        raise CannotRunError(f'--estimator: "{name}" cannot be loaded: {type(error).__name__}: {error}') from None
    return made
