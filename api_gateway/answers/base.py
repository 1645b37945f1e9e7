"""Words that every answer shares."""

from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

INTEGER_MAX = 2**63 - 1


def _open(schema: dict[str, Any]) -> None:
    """Fields may be added to an answer: its readers ignore what they do not know."""
    schema.pop("additionalProperties", None)


class Shape(BaseModel):
    """An object of an answer. Strict, so that a test sees every field that is missing, too many or of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra=_open)


# Shown where the documents make an answer up: without it readers print the largest there is.
_INTEGER: JsonDict = {"format": "int64", "examples": [1_000_000]}
Micros = Annotated[int, Field(ge=-INTEGER_MAX, le=INTEGER_MAX, json_schema_extra=_INTEGER)]
Count = Annotated[int, Field(ge=0, le=INTEGER_MAX, json_schema_extra=_INTEGER)]
Id = Annotated[
    str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", json_schema_extra={"format": "uuid"})
]
Time = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", json_schema_extra={"format": "date-time"})
]
Item = TypeVar("Item")


class Page(Shape, Generic[Item]):
    """Rows of a list, newest first unless the route says otherwise."""

    items: list[Item]
    next_cursor: str | None = Field(description="Null: that was the last page.")


class FieldProblem(Shape):
    """One bad field."""

    pointer: str = Field(description="RFC 6901, into the body or the query.")
    detail: str


class Problem(BaseModel):
    """RFC 9457. Details of some codes stand beside these as texts, such as `required_micros`."""

    model_config = ConfigDict(strict=True, frozen=True)

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool = Field(description="Whether the same request may succeed later by itself.")
    trace_id: str
    errors: list[FieldProblem] = []
