"""README.md of this folder says where the contract is tested: what it names must exist."""

import pathlib
import re

import contract
from test_openapi import CODES

FOLDER = pathlib.Path(__file__).resolve().parent
NAMED_PYTHON = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
NAMED_SWIFT = re.compile(r"`([A-Z]\w+)\.(\w+)`")


def map_text():
    return (FOLDER / "README.md").read_text()


def python_tests():
    return {
        (file.name, name) for file in FOLDER.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)}


def swift_tests():
    """By the name of the file and by that of the suite."""
    found = set()
    for file in FOLDER.parent.glob("*/*.swift"):
        text = file.read_text()
        before, *bodies = re.split(r"\bfunc (?=\w+)", text)
        functions = []
        for body in bodies:
            if "@Test" in before:
                functions.append(re.match(r"\w+", body)[0])
            before = body
        suites = re.findall(r"\b(?:struct|class|actor) (\w+Tests)\b", text)
        found |= {(suite, name) for suite in [file.stem, *suites] for name in functions}
    return found


def test_every_test_that_the_map_names_exists():
    missing = set(NAMED_PYTHON.findall(map_text())) - python_tests()
    missing |= set(NAMED_SWIFT.findall(map_text())) - swift_tests()
    assert not missing, sorted(missing)


def test_every_file_of_acceptance_tests_is_on_the_map():
    on_the_map = {file for file, _ in NAMED_PYTHON.findall(map_text())}
    assert {file for file, _ in python_tests()} - on_the_map == {"test_map.py"}


def test_every_row_names_a_test_or_says_why_not():
    for line in map_text().splitlines():
        if line.startswith("| ") and not line.startswith(("| ---", "| item", "| call", "| state")):
            cells = re.split(r"(?<!\\)\|", line)
            if cells[1].strip() == "code":
                continue
            named = NAMED_PYTHON.findall(cells[2]) or NAMED_SWIFT.findall(cells[2])
            assert named or "out of scope" in cells[2], line


def test_every_code_is_on_the_map():
    codes = set(CODES)
    for name in ("RejectionCode", "QuarantineCode"):
        codes |= set(contract.document()["components"]["schemas"][name]["enum"])
    section = map_text().split("## Codes")[1].split("\n## ")[0]
    assert {code for code in codes if f"`{code}`" not in section} == set()
