"""docs/api.json: the control API as OpenAPI 3.1, from the routes and structs that answer it."""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec.json

from gossipd import __version__
from gossipd.control import api
from gossipd.control.events import EventLog
from gossipd.control.logs import LogRing
from gossipd.control.operator import Operator

Document = dict[str, Any]

JSON = "application/json"
SENTENCE = re.compile(r":(?=\s+[\[{])|\.(?=\s|$)")
"""Where a docstring's first sentence ends; after a colon it says what the answer holds."""
UNWELL = "A warning is more than `info`."
ABOUT = """The daemon's control API: HTTP on the unix socket `api.sock` in the state directory,
which only its owner may open. `gossipd config paths` prints where it is. Every answer but /metrics
has one form: {schema_version, status: "ok", data} or {schema_version, status: "error", error}."""
ENVELOPE = {"schema_version": {"const": api.SCHEMA_VERSION}}
ERROR: Document = {
    "type": "object",
    "description": "What cannot be done: a stable code, a sentence, what to do about it, and the "
    "exit code of a command that is told so.",
    "properties": {
        **ENVELOPE,
        "status": {"const": "error"},
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": "string"},
                "exit_code": {"enum": sorted(int(code) for code in api.HTTP_STATUS)},
            },
            "required": ["code", "message", "hint", "exit_code"],
        },
    },
    "required": ["schema_version", "status", "error"],
}


def page() -> str:
    return json.dumps(document(), indent=2) + "\n"


def document() -> Document:
    """The whole description. Raises LookupError for a route that nothing describes."""
    routes = _routes()
    structs = [asked for *_, endpoint in routes if (asked := _reads(endpoint)) is not None]
    names, schemas = _schemas(structs)
    paths: dict[str, Document] = {}
    bodies = set()
    for method, path, endpoint in routes:
        asked = _reads(endpoint)
        entry = _operation(endpoint)
        entry["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", path)
        ]
        if asked is not None and method == "GET":
            entry["parameters"] += _query(schemas[asked.__name__])
        elif asked is not None:
            bodies.add(asked.__name__)
            entry["requestBody"] = {
                "required": True,
                "content": {JSON: {"schema": names[asked]}},
            }
        paths.setdefault(path, {})[method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gossipd",
            "version": __version__,
            "description": " ".join(ABOUT.split()),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {
                **{name: schema for name, schema in schemas.items() if name in bodies},
                "Error": ERROR,
            }
        },
    }


def _routes() -> list[tuple[str, str, Any]]:
    nobody: Any = None
    return api.Api(nobody, EventLog(), LogRing()).table()


def _schemas(kinds: list[Any]) -> tuple[dict[Any, Document], dict[str, Document]]:
    found, schemas = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    for schema in schemas.values():
        schema.pop("description", None)  # the route, which is said once
    return dict(zip(kinds, found, strict=True)), schemas


def _query(schema: Document) -> list[Document]:
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in schema["properties"].items()
    ]


def _operation(endpoint: Any) -> Document:
    text, data = _described(endpoint)
    end = SENTENCE.search(text)
    summary, rest = (text, "") if end is None else (text[: end.start()], text[end.end() :])
    answer: Document = {"description": "Done.", "content": {}}
    if endpoint.__name__ == "metrics":
        answer["content"]["text/plain"] = {"schema": {"type": "string"}}
    else:
        envelope = {**ENVELOPE, "status": {"const": "ok"}, "data": data}
        answer["content"][JSON] = {
            "schema": {
                "type": "object",
                "properties": envelope,
                "required": list(envelope),
            }
        }
    refused = {"schema": {"$ref": "#/components/schemas/Error"}}
    return {
        "operationId": _asks(endpoint) or endpoint.__name__,
        "summary": _line(summary) + ".",
        "description": "\n\n".join(_line(part) for part in rest.split("\n\n") if part),
        "responses": {
            "200": answer,
            **({"503": {**answer, "description": UNWELL}} if endpoint.__name__ == "health" else {}),
            "default": {"description": "Refused, or failed.", "content": {JSON: refused}},
        },
    }


def _described(endpoint: Any) -> tuple[str, Document]:
    """What it does in words, and its answer's `data`. A docstring of its own that tells the shape
    of the answer says all; else the operator's method that it calls says the rest."""
    own = inspect.cleandoc(endpoint.__doc__ or "")
    asked = _asks(endpoint)
    if asked is None or "{" in own:
        texts, answers = [own], Document
    else:
        method = getattr(Operator, asked)
        texts, answers = [own, inspect.getdoc(method) or ""], get_type_hints(method)["return"]
    text = "\n\n".join(filter(None, texts))
    if not text:
        raise LookupError(f"neither {endpoint.__name__} nor the operator's {asked} says what it is")
    if answers is Document:
        return text, {"type": "object"}
    return text, {"type": "array", "items": {"type": "object"}}


def _asks(endpoint: Any) -> str | None:
    """The operator's method that it calls, if it calls one."""
    for node in _source(endpoint):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self._operator":
            return node.attr
    return None


def _reads(endpoint: Any) -> Any:
    """The struct that it reads from the body or the query, if it reads one."""
    for node in _source(endpoint):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("_body", "_query"):
            return getattr(api, ast.unparse(node.args[1]))
    return None


def _source(endpoint: Any) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(textwrap.dedent(inspect.getsource(endpoint))))


def _line(text: str) -> str:
    return " ".join(text.split())
