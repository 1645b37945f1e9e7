"""Pydantic's complaints in the words of our problem documents."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from runtime.errors import ApiError, ErrorCode, FieldError

FIELDS_MAX = 20
Model = TypeVar("Model", bound=BaseModel)


def parsed(model: type[Model], value: Any, prefix: str = "") -> Model:
    """`value` as `model`. Raises INVALID_ARGUMENT with a pointer to each bad field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ApiError(
            ErrorCode.INVALID_ARGUMENT, "the body has bad fields", fields=_fields(error, prefix)
        ) from None


def parsed_query(model: type[Model], query: Mapping[str, str]) -> Model:
    """The query parameters as `model`; they are texts, so numbers are read from their digits."""
    try:
        return model.model_validate_strings(dict(query))
    except ValidationError as error:
        message = "the query has bad parameters"
        raise ApiError(ErrorCode.INVALID_ARGUMENT, message, fields=_fields(error, "")) from None


def _fields(error: ValidationError, prefix: str) -> list[FieldError]:
    # Neither the input nor pydantic's page of it goes out.
    problems = error.errors(include_url=False, include_input=False, include_context=False)[:FIELDS_MAX]
    return [FieldError(prefix + _pointer(problem["loc"]), _detail(problem["msg"])) for problem in problems]


def _pointer(location: tuple[int | str, ...]) -> str:
    """RFC 6901; cut, because the names may be the client's."""
    parts = (str(part)[:100].replace("~", "~0").replace("/", "~1") for part in location)
    return "".join(f"/{part}" for part in parts)


def _detail(message: str) -> str:
    return message.removeprefix("Value error, ")
