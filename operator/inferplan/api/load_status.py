"""The load by hour of the day, as an instance's status shows it (contract section 1)."""

from typing import Annotated

from pydantic import Field

from inferplan.api.base import WireModel


class LoadBandStatus(WireModel):
    """The load of one hour of the day, of all replicas together, mean over days; absent where it was not measured."""

    hour: Annotated[int, Field(ge=0, le=23, description="Hour of the day in which it begins, UTC.")]
    num_requests_running: Annotated[float | None, Field(ge=0, description="Requests that ran at once, mean.")] = None
    requests_per_second: Annotated[float | None, Field(ge=0, description="Finished requests per second.")] = None
    prompt_tokens_mean: Annotated[float | None, Field(ge=0, description="Mean prompt length, tokens.")] = None
    generation_tokens_mean: Annotated[float | None, Field(ge=0, description="Mean output length, tokens.")] = None


class LoadStatus(WireModel):
    """What the last days looked like."""

    hours: Annotated[int, Field(ge=1, description="Past hours that were measured when this was last written.")]
    trend_percent_per_day: Annotated[
        float | None,
        Field(description="Change of the request rate per day, percent; absent below a day and a half of data."),
    ] = None
    bands: Annotated[
        tuple[LoadBandStatus, ...],
        Field(
            max_length=24,
            description="Load by hour of the day, those hours that were measured.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["hour"]},
        ),
    ] = ()
