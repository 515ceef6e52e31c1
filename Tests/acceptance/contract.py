"""The server's own description of itself, as the judge of every answer that a test sees."""

import functools
import pathlib
import re
import urllib.parse

import jsonschema
import requests
import yaml

DOCUMENT = (
    pathlib.Path(__file__).resolve().parents[2] / "Sources/OpenAPIDocument/Resources/openapi.yaml")
PROBLEM = "application/problem+json"
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
# Live paths that repeat a documented one without or with /v1.
ALIASES = {
    "/openapi.yaml": "/v1/openapi.yaml",
    "/v1/.well-known/waybill-keys.json": "/.well-known/waybill-keys.json",
}


@functools.cache
def document():
    return yaml.safe_load(DOCUMENT.read_text())


def resolve(node):
    """Follows a chain of local references."""
    while "$ref" in node:
        target = document()
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def closed(schema, *, outermost=True):
    """The schema with unknown members forbidden: clients take them, the server must not send any
    that are not described."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        described = dict(resolve(schema))
        described.update({k: v for k, v in schema.items() if k != "$ref"})
        return closed(described, outermost=outermost)
    result = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            result[key] = {name: closed(one) for name, one in value.items()}
        elif key == "allOf" or key in ("oneOf", "anyOf") and "properties" in schema:
            # Conditions on the members that stand beside them.
            result[key] = [closed(one, outermost=False) for one in value]
        elif key in ("items", "prefixItems", "oneOf", "anyOf", "additionalProperties"):
            result[key] = closed(value)
        elif key not in ("example", "examples", "description"):
            result[key] = value
    has_members = "properties" in schema or "allOf" in schema
    if outermost and has_members and "additionalProperties" not in schema:
        result["unevaluatedProperties"] = False
    return result


def validator(schema):
    return jsonschema.Draft202012Validator(
        closed(schema), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


@functools.cache
def templates():
    """(expression, path) of every documented path; those without parameters first."""
    found = []
    for path in document()["paths"]:
        expression = re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace(".", r"\.")) + r"\Z")
        found.append((path.count("{"), expression, path))
    return [(expression, path) for _, expression, path in sorted(found, key=lambda one: one[0])]


def template_of(path):
    """The documented path that a request's path belongs to; None without one."""
    path = ALIASES.get(path, path)
    if path.startswith("/v1/v1/"):
        path = path.removeprefix("/v1")
    for expression, template in templates():
        if expression.match(path):
            return template
    return None


@functools.cache
def body_validator(template, method, status, media_type):
    response = resolve(document()["paths"][template][method]["responses"][status])
    return validator(response["content"][media_type].get("schema", {}))


@functools.cache
def problem_validator():
    return validator({"$ref": "#/components/schemas/Problem"})


class Undocumented(AssertionError):
    """An answer that the document does not describe."""


def media_type(response):
    return response.headers.get("Content-Type", "").split(";")[0].strip()


def check(response, streamed=False):
    """Holds one answer against the document.

    :raises Undocumented: for a status, a media type, a header or a body that is not described.
    """
    request = response.request
    path = urllib.parse.urlsplit(request.url).path
    method = request.method.lower()
    template = template_of(path)
    item = document()["paths"].get(template, {})
    is_head = method == "head" and "head" not in item
    method = "get" if is_head else method
    where = f"{request.method} {path}: {response.status_code}"
    if method not in item:
        check_unknown(response, item, where)
        return None
    status = str(response.status_code)
    if status == "405" or status not in item[method]["responses"]:
        raise Undocumented(f"{where} is not documented: {response.text[:500]}")
    described = resolve(item[method]["responses"][status])
    check_headers(response, described, where)
    content = described.get("content")
    if not content:
        if not streamed and response.content:
            raise Undocumented(f"{where}: a body where none is described")
    elif not is_head:
        kind = media_type(response)
        if kind not in content:
            raise Undocumented(f"{where}: media type {kind!r}")
        if "json" in kind:
            complain(body_validator(template, method, status, kind), response, where)
    return template, method, status


def check_unknown(response, item, where):
    """Any other path is 404, any other method 405 (or 401 before either is looked at)."""
    allowed = (401, 403, 405, 400) if item else (401, 403, 404, 405, 400)
    if response.status_code not in allowed:
        raise Undocumented(f"{where}: expected one of {allowed}")
    if response.request.method != "HEAD":
        if media_type(response) != PROBLEM:
            raise Undocumented(f"{where}: media type {media_type(response)!r}")
        complain(problem_validator(), response, where)
    if response.status_code == 405 and "Allow" not in response.headers:
        raise Undocumented(f"{where}: without Allow")


def check_headers(response, described, where):
    for name, header in described.get("headers", {}).items():
        header = resolve(header)
        value = response.headers.get(name)
        if value is None:
            if header.get("required"):
                raise Undocumented(f"{where}: without {name}")
            continue
        schema = header["schema"]
        if resolve(schema).get("type") == "integer":
            value = int(value)
        for fault in validator(schema).iter_errors(value):
            raise Undocumented(f"{where}: {name}: {fault.message}")


def complain(judge, response, where):
    try:
        body = response.json()
    except ValueError:
        raise Undocumented(f"{where}: not JSON: {response.text[:500]}") from None
    for fault in judge.iter_errors(body):
        at = "/".join(map(str, fault.absolute_path))
        raise Undocumented(f"{where}: {at}: {fault.message}: {response.text[:1000]}")
    if media_type(response) == PROBLEM:
        check_problem(body, response, where)


def check_problem(problem, response, where):
    """What the schema cannot say: the status is the answer's, and it says whether to try again."""
    status = response.status_code
    if problem["status"] != status:
        raise Undocumented(f"{where}: the problem says {problem['status']}")
    # "408, 425, 429, 5xx: try again […] Other 4xx: stop and report."
    if problem["retryable"] is not (status in (408, 425, 429) or status >= 500):
        raise Undocumented(f"{where}: retryable is {problem['retryable']}")
    if status in (429, 503, 507) and not response.headers.get("Retry-After", "").isdigit():
        raise Undocumented(f"{where}: without Retry-After")


seen = set()
_send = requests.Session.send


def judged_send(session, request, **options):
    """`requests.Session.send`, with the answer held against the document."""
    response = _send(session, request, **options)
    call = check(response, streamed=bool(options.get("stream")))
    if call:
        seen.add(call)
    return response


def judge_every_answer():
    """From now on, every answer that `requests` gets must be as documented."""
    requests.Session.send = judged_send
