"""An OpenAPI 3.1 document as 3.0, for readers such as the Swagger UI that know no later version."""

from typing import Any

_NULL = {"type": "null"}


def as_30(document: dict[str, Any]) -> dict[str, Any]:
    """The same routes and shapes; what 3.0 cannot say (a constant, null beside a type) in its own words."""
    converted: dict[str, Any] = _converted(document)
    converted["openapi"] = "3.0.3"
    del converted["info"]["license"]["identifier"]
    return converted


def _converted(value: Any) -> Any:
    if isinstance(value, list):
        return [_converted(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: _converted(part) for name, part in value.items()}
    options = found.get("anyOf")
    if isinstance(options, list) and _NULL in options:
        del found["anyOf"]
        found |= _nullable([option for option in options if option != _NULL])
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if isinstance(value.get("examples"), list):
        found["example"] = found.pop("examples")[0]
    return found


def _nullable(options: list[Any]) -> dict[str, Any]:
    if len(options) > 1:
        return {"nullable": True, "anyOf": options}
    if "$ref" in options[0]:  # nothing may stand beside a reference in 3.0
        return {"nullable": True, "allOf": options}
    return {"nullable": True, **options[0]}
