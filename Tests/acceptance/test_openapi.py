"""The document: valid, complete in its examples, and telling the truth about every answer."""

import pathlib
import re

import jsonschema
import pytest
import requests
import yaml
from openapi_spec_validator import validate

import contract
from stranger import checked

CODES = {
    "unauthorized": 401, "not_found": 404, "invalid_request": 400, "idempotency_key_missing": 400,
    "idempotency_conflict": 422, "digest_mismatch": 422, "already_complete": 409,
    "not_issued": 409, "too_large": 413, "unsupported_media_type": 415, "header_too_large": 431,
    "too_many_open": 429, "rate_limited": 429, "code_invalid": 403, "database_unavailable": 503,
    "backlog_full": 503, "shutting_down": 503, "disk_full": 507,
    **{f"archive_{name}": 422 for name in (
        "empty", "not_zip", "truncated", "surplus", "comment", "entries", "name", "entry_type",
        "not_encrypted", "encryption", "method", "inconsistent", "limit")},
}


def test_the_document_is_valid_openapi_3_1():
    document = contract.document()
    assert document["openapi"].startswith("3.1.")
    validate(document)


def test_every_example_fits_its_schema():
    count = 0
    for path, item in contract.document()["paths"].items():
        for method in contract.METHODS:
            body = item.get(method, {}).get("requestBody", {}).get("content", {})
            answers = item.get(method, {}).get("responses", {}).values()
            contents = [body, *(contract.resolve(one).get("content", {}) for one in answers)]
            for content in contents:
                for media in content.values():
                    for example in media.get("examples", {}).values():
                        contract.validator(media["schema"]).validate(example["value"])
                        count += 1
    for name, schema in contract.document()["components"]["schemas"].items():
        for example in schema.get("examples", []):
            contract.validator(schema).validate(example)
            count += 1
    for parameter in contract.document()["components"]["parameters"].values():
        if "example" in parameter:
            contract.validator(parameter["schema"]).validate(parameter["example"])
            count += 1
    assert count > 10


def test_every_call_names_its_status_codes_and_operations_are_unique():
    names = []
    for path, item in contract.document()["paths"].items():
        for method in set(item) & set(contract.METHODS):
            operation = item[method]
            names.append(operation["operationId"])
            assert operation["summary"] and operation["tags"], (method, path)
            if operation.get("security", True):
                assert "401" in operation["responses"], (method, path)
            if "requestBody" in operation:
                assert "413" in operation["responses"], (method, path)
                assert "400" in operation["responses"], (method, path)
    assert len(names) == len(set(names))


def test_every_code_of_the_contract_is_documented_with_its_status():
    found = {}
    for response in contract.document()["components"]["responses"].values():
        schema = response.get("content", {}).get(contract.PROBLEM, {}).get("schema", {})
        for part in schema.get("allOf", []):
            if "properties" in part:
                for one in part["properties"]["code"]["enum"]:
                    found[one], = part["properties"]["status"]["enum"]
    assert {code: found.get(code) for code in CODES} == CODES


def test_both_sides_serve_the_document_as_it_is_here(server):
    expected = contract.DOCUMENT.read_bytes()
    for url in (
        server.device_url + "/openapi.yaml", server.device_url + "/v1/openapi.yaml",
        server.admin_url + "/openapi.yaml",
    ):
        answer = checked(requests.get(url, timeout=30))
        assert answer.headers["Content-Type"] == "application/yaml"
        assert answer.content == expected
        again = requests.get(
            url, timeout=30, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304 and again.content == b""


class Answer:
    """What `contract.check` needs of an answer."""

    def __init__(self, method, path, status, body=None, headers=None):
        self.request = requests.Request(method, "http://host" + path).prepare()
        self.status_code = status
        self.headers = requests.structures.CaseInsensitiveDict(
            {"Content-Type": "application/json"} | (headers or {}))
        self.text = self.content = yaml.safe_dump(body) if body is not None else ""
        self.json = lambda: body


CONFIRMED = {
    "title": "t", "status": 409, "code": "not_issued", "detail": "d", "retryable": False}
KIND = {"Content-Type": contract.PROBLEM}


@pytest.mark.parametrize("answer", [
    Answer("GET", "/v1/nothing", 200, {}),
    Answer("GET", "/v1/receipts", 299, {}),
    Answer("GET", "/v1/receipts", 200, {"receipts": [], "last": 0}),
    Answer("GET", "/v1/receipts", 200, {"receipts": [], "last": -1, "safe_through": 0}),
    Answer("GET", "/v1/receipts", 200, {"receipts": [], "last": 0, "safe_through": 0, "x": 1}),
    Answer("GET", "/v1/receipts", 200, {}, {"Content-Type": "text/html"}),
    Answer("GET", "/admin/v1/listeners", 200, {}),
    Answer("POST", "/v1/receipts/confirm", 204, {}),
    Answer("POST", "/v1/receipts/confirm", 409, CONFIRMED | {"code": "other"}, KIND),
    Answer("POST", "/v1/receipts/confirm", 409, CONFIRMED | {"status": 400}, KIND),
    Answer("POST", "/v1/receipts/confirm", 409, CONFIRMED | {"path": "/"}, KIND),
    Answer("POST", "/v1/receipts/confirm", 409, CONFIRMED | {"retryable": True}, KIND),
    Answer("POST", "/v1/receipts/confirm", 429, CONFIRMED | {
        "status": 429, "code": "rate_limited"}, {**KIND, "Retry-After": "1"}),
    Answer("POST", "/v1/receipts/confirm", 429, CONFIRMED | {
        "status": 429, "code": "rate_limited", "retryable": True}, KIND),
    Answer("POST", "/v1/receipts", 405, CONFIRMED | {"status": 405}, KIND),
], ids=range(15))
def test_the_judge_sees_what_the_document_does_not_describe(answer):
    with pytest.raises(contract.Undocumented):
        contract.check(answer)


def test_the_judge_lets_pass_what_it_describes():
    contract.check(Answer("GET", "/v1/receipts", 200, {"receipts": [], "last": 0, "safe_through": 0}))
    contract.check(Answer("POST", "/v1/receipts/confirm", 409, CONFIRMED, KIND))
    contract.check(Answer("POST", "/v1/receipts/confirm", 429, CONFIRMED | {
        "status": 429, "code": "rate_limited", "retryable": True}, {**KIND, "Retry-After": "1"}))


def test_contract_types_of_the_lines_agree_with_the_strangers(device):
    header = contract.validator({"$ref": "#/components/schemas/BundleHeader"})
    header.validate(device.header("0190163d-8694-739b-aea5-966c26f8ad91", 3, device_seq=1))
    with pytest.raises(jsonschema.ValidationError):
        header.validate(device.header("0190163d-8694-739b-aea5-966c26f8ad91", 3, part=0))


def test_no_test_talks_past_the_judge():
    """Answers are judged because all tests ask through `requests`."""
    others = re.compile(r"^\s*(import|from) (urllib\.request|http\.client|aiohttp|httpx)\b", re.M)
    for file in pathlib.Path(__file__).parent.glob("*.py"):
        assert not others.search(file.read_text()), file.name
