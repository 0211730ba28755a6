"""The description is whole and true: every route stands in it, every reference leads somewhere."""

import json
import re

import pytest
from openapi_spec_validator import validate

from ledger.records import NAMES
from node.api.app import ROUTES, make_app
from node.api.openapi import document
from tests.node.api.live_node import LiveNode


@pytest.fixture(scope="module")
def described() -> dict:
    return json.loads(json.dumps(document(ROUTES, "example.org/standing")))


def walk(value, path=""):
    yield path, value
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for name, inner in items:
        yield from walk(inner, f"{path}/{name}")


async def test_it_is_served(stranger, described) -> None:
    async with stranger.get("/openapi.json") as response:
        assert (await response.json())["paths"] == described["paths"]


async def test_the_server_has_exactly_these_routes(described) -> None:
    app = make_app(LiveNode())
    pattern = re.compile(r"\{(\w+):[^{}]*\}")
    served = {
        (route.method.lower(), pattern.sub(r"{\1}", resource.canonical))
        for resource in app.router.resources()
        for route in resource
        if route.method != "HEAD"
    }
    told = {
        (method, path) for path, operations in described["paths"].items() for method in operations
    }
    assert told <= served
    assert {each for each in served - told if each[1].startswith(("/v1", "/log"))} == set()


def test_every_reference_leads_somewhere(described) -> None:
    references = [value for path, value in walk(described) if path.endswith("/$ref")]
    assert len(references) > 50
    for reference in references:
        name = reference.removeprefix("#/components/schemas/")
        assert name in described["components"]["schemas"]


def test_every_operation_is_described(described) -> None:
    names = []
    for path, operations in described["paths"].items():
        wanted = set(re.findall(r"\{(\w+)\}", path))
        for operation in operations.values():
            names.append(operation["operationId"])
            told = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert told == wanted
            assert all(p["required"] for p in operation.get("parameters", ()) if p["in"] == "path")
            assert operation["summary"]
            assert operation["responses"]
            if operation["security"]:
                assert {"401", "403"} <= operation["responses"].keys()
            for status, response in operation["responses"].items():
                assert response["description"]
                if int(status) >= 400:
                    standard = (path, status) == ("/witness/add-checkpoint", "409")
                    wanted = "text/x.tlog.size" if standard else "application/problem+json"
                    assert list(response["content"]) == [wanted]
    assert len(names) == len(set(names))


def test_records_are_described_from_their_definitions(described) -> None:
    schemas = described["components"]["schemas"]
    for kind, name in NAMES.items():
        schema = schemas[kind.__name__]
        fields = {"type", "signatures", *kind.__struct_fields__}
        assert set(schema["properties"]) == fields
        assert set(schema["required"]) == fields - {"signatures"}
        assert schema["additionalProperties"] is False
        assert schema["properties"]["type"]["const"] == name
        assert {"$ref": f"#/components/schemas/{kind.__name__}"} in schemas["Record"]["oneOf"]
    worker = schemas["EngagementOpen"]["properties"]["worker"]
    assert worker["pattern"] == "^[0-9a-f]{64}$"
    assert schemas["EngagementOpen"]["properties"]["value_band"]["maximum"] == 9
    for path, value in walk(schemas):
        if path.endswith("/pattern"):
            assert re.compile(value)
            assert r"\Z" not in value


def test_it_is_valid_openapi(described) -> None:
    validate(described)
