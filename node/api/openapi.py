"""OpenAPI 3.1, generated: addresses from the route table, shapes from the Structs themselves.

The JSON form is that of node/api/json_records.py, so bytes are hex patterns of their exact length,
numbers have their bounds, every object lists all its fields and takes no other.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from msgspec import NODEFAULT, inspect

from ledger.batch import SIGNATURES_MAX
from ledger.encoding import UINT_MAX
from ledger.records import NAMES
from node.api.problems import CONTENT_TYPE, TITLES, Problem
from node.api.routes import Content, Route

Schema = dict[str, Any]

OPENAPI: Final = "3.1.0"
_REFERENCE: Final = "#/components/schemas/"


class Schemas:
    """JSON Schemas of Structs, collected by name."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}

    def of(self, shape: Any) -> Schema:
        """The schema of a type (by reference, if it is a Struct), or a ready schema as it is."""
        if isinstance(shape, Mapping):
            return dict(shape)
        return self._of(inspect.type_info(shape))

    def record(self) -> None:
        """All record types, each with its `type` and its signatures, and their union `Record`."""
        references = {}
        for kind, name in NAMES.items():
            self.of(kind)
            schema = self.named[kind.__name__]
            schema["properties"] = {
                "type": {"type": "string", "const": name},
                **schema["properties"],
                "signatures": {
                    "type": "array",
                    "items": _hex(64, 64),
                    "maxItems": SIGNATURES_MAX,
                },
            }
            schema["required"] = ["type", *schema["required"]]
            references[name] = _REFERENCE + kind.__name__
        self.named["Record"] = {
            "oneOf": [{"$ref": each} for each in references.values()],
            "discriminator": {"propertyName": "type", "mapping": references},
        }

    def _of(self, info: inspect.Type) -> Schema:  # noqa: PLR0911
        match info:
            case inspect.Metadata():
                return {**self._of(info.type), **(info.extra_json_schema or {})}
            case inspect.IntType():
                low = 0 if info.ge is None else info.ge
                high = UINT_MAX if info.le is None else info.le
                return {"type": "integer", "minimum": low, "maximum": high}
            case inspect.BytesType():
                return _hex(info.min_length or 0, info.max_length)
            case inspect.StrType():
                return _string(info)
            case inspect.BoolType():
                return {"type": "boolean"}
            case inspect.FloatType():
                return {"type": "number"}
            case inspect.LiteralType():
                return {"type": "string", "enum": list(info.values)}
            case inspect.VarTupleType() | inspect.ListType():
                return _array(self._of(info.item_type), info.min_length, info.max_length)
            case inspect.TupleType():
                items = [self._of(each) for each in info.item_types]
                return {
                    "type": "array",
                    "prefixItems": items,
                    "items": False,
                    "minItems": len(items),
                    "maxItems": len(items),
                }
            case inspect.DictType():
                return {"type": "object", "additionalProperties": self._of(info.value_type)}
            case inspect.UnionType():
                return {"anyOf": [self._of(each) for each in info.types]}
            case inspect.NoneType():
                return {"type": "null"}
            case inspect.AnyType():
                return {}
            case inspect.StructType():
                return self._struct(info)
        raise TypeError(f"no JSON Schema is defined for {info}")

    def _struct(self, info: inspect.StructType) -> Schema:
        name = info.cls.__name__
        if name not in self.named:
            self.named[name] = {}
            defaults = bool(info.cls.__struct_config__.omit_defaults)
            schema: Schema = {
                "type": "object",
                "properties": {field.name: self._field(field) for field in info.fields},
                "required": [f.name for f in info.fields if f.required or not defaults],
                "additionalProperties": False,
            }
            if info.cls.__doc__:
                schema["description"] = info.cls.__doc__.strip()
            self.named[name] = schema
        return {"$ref": _REFERENCE + name}

    def _field(self, field: inspect.Field) -> Schema:
        schema = self._of(field.type)
        if field.default is not NODEFAULT and isinstance(field.default, str | int | bool):
            schema = {**schema, "default": field.default}
        return schema


def _hex(low: int, high: int | None) -> Schema:
    if high is None:
        return {"type": "string", "pattern": "^([0-9a-f]{2})*$"}
    digits = f"{{{2 * low}}}"
    if low == high:
        return {"type": "string", "pattern": f"^[0-9a-f]{digits}$"}
    return {"type": "string", "pattern": f"^([0-9a-f]{{2}}){{{low},{high}}}$"}


def _string(info: inspect.StrType) -> Schema:
    schema: Schema = {"type": "string"}
    if info.min_length is not None:
        schema["minLength"] = info.min_length
    if info.max_length is not None:
        schema["maxLength"] = info.max_length
    if info.pattern:
        schema["pattern"] = info.pattern.replace(r"\Z", "$")
    return schema


def _array(items: Schema, low: int | None, high: int | None) -> Schema:
    schema: Schema = {"type": "array", "items": items}
    if low:
        schema["minItems"] = low
    if high is not None:
        schema["maxItems"] = high
    return schema


def document(routes: Sequence[Route], origin: str) -> Schema:
    """The whole OpenAPI document of a node."""
    schemas = Schemas()
    schemas.record()
    schemas.of(Problem)
    paths: dict[str, Schema] = {}
    for route in routes:
        operation = _operation(route, schemas)
        paths.setdefault(route.public_path, {})[route.method.lower()] = operation
    return {
        "openapi": OPENAPI,
        "info": {
            "title": f"Standing node of {origin}",
            "version": version("standing-ledger"),
            "description": "A ledger of work, and the credit bureau that stands on it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "standing_session"},
            },
        },
    }


def _operation(route: Route, schemas: Schemas) -> Schema:
    made: Schema = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "tags": [route.tag],
        "responses": _responses(route, schemas),
        "security": _security(route),
    }
    if route.description:
        made["description"] = route.description
    if route.parameters:
        made["parameters"] = [
            {
                "name": each.name,
                "in": each.where,
                "required": each.required,
                "description": each.description,
                "schema": dict(each.schema),
            }
            for each in route.parameters
        ]
    if route.body:
        made["requestBody"] = {"required": True, "content": _contents(route.body, schemas)}
    return made


def _security(route: Route) -> list[Schema]:
    if not route.rights:
        return []
    return [{"token": []}, {"session": []}] if "read" in route.rights else [{"token": []}]


def _responses(route: Route, schemas: Schemas) -> Schema:
    made: Schema = {}
    for status, contents in route.answers.items():
        made[str(status)] = {"description": _DESCRIPTIONS.get(status, "answered")}
        if contents:
            made[str(status)]["content"] = _contents(contents, schemas)
    guards = (401, 403) if route.rights else ()
    for status in sorted({*route.problems, *guards}):
        made[str(status)] = {
            "description": TITLES.get(status, "problem"),
            "content": {CONTENT_TYPE: {"schema": {"$ref": _REFERENCE + "Problem"}}},
        }
    return made


def _contents(contents: Sequence[Content], schemas: Schemas) -> Schema:
    return {each.media_type: {"schema": schemas.of(each.shape)} for each in contents}


_DESCRIPTIONS: Final = {
    200: "done",
    201: "made",
    202: "taken: durable on this node, not final yet",
    204: "done, nothing to say",
    303: "go on at the address in Location",
    304: "not changed",
}
