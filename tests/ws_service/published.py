"""The published description of the live feed, and what fits it."""

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

PATH = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"


@cache
def document() -> dict[str, Any]:
    """docs/asyncapi.yaml."""
    loaded: dict[str, Any] = yaml.safe_load(PATH.read_text())
    return loaded


def check_frame(frame: Mapping[str, Any]) -> None:
    """What the server said is described, each of its fields too."""
    _check("hear", "type", frame)


def check_command(command: Mapping[str, Any]) -> None:
    """What a client said is described."""
    _check("say", "cmd", command)


def operation_of(message_key: str) -> str:
    """`say` or `hear`."""
    for name, operation in document()["operations"].items():
        if any(reference["$ref"].endswith(f"/{message_key}") for reference in operation["messages"]):
            return str(name)
    raise AssertionError(f"{message_key} belongs to no operation")


def closed(schema: Any) -> Any:
    """The schema, refusing fields it does not describe (clients are told to pass over them)."""
    schema = copy.deepcopy(schema)
    nodes = [schema]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            if "properties" in node:
                node["additionalProperties"] = False
            nodes.extend(node.values())
        elif isinstance(node, list):
            nodes.extend(node)
    return schema


def _check(operation: str, tag: str, value: Mapping[str, Any]) -> None:
    kind = value[tag]
    checker = _checkers().get((operation, kind))
    assert checker is not None, f"{tag} {kind} is not described"
    error = next(iter(checker.iter_errors(value)), None)
    assert error is None, f"{kind}: {error.message}: {value}"


@cache
def _checkers() -> dict[tuple[str, str], Any]:
    components = closed(document()["components"])
    schemas = {"components": {"schemas": components["schemas"]}}
    return {
        (operation_of(key), message["name"]): jsonschema_rs.Draft202012Validator(
            {**message["payload"], **schemas}
        )
        for key, message in components["messages"].items()
    }
