"""Faults.md of WaybillQueue says which test tries which case of FAULTS.md: what it names must exist."""

import re

from test_map import FOLDER, NAMED_PYTHON, NAMED_SWIFT, python_tests, swift_tests

ROOT = FOLDER.parents[1]
TABLE = ROOT / "Sources/WaybillQueue/WaybillQueue.docc/Faults.md"
CASES = range(1, 38)
UNTESTED = {17: "resumable upload", 37: "resumable upload", 34: "measured", 35: "measured"}
PATH = re.compile(r"`((?:Tests|deploy)/[\w./-]+)`")


def rows():
    """By case: the cells of what is promised and of the tests."""
    found = {}
    for line in TABLE.read_text().splitlines():
        if match := re.match(r"\| (\d+) [^|]+\| ([^|]+) \| ([^|]+) \|$", line):
            number = int(match[1])
            assert number not in found, f"case {number} has two rows"
            found[number] = match[2], match[3]
    return found


def test_every_case_has_a_row_with_a_test_or_an_excuse():
    assert list(rows()) == list(CASES)
    for number, (promise, tests) in rows().items():
        named = NAMED_PYTHON.findall(tests) + NAMED_SWIFT.findall(tests)
        excuse = UNTESTED.get(number, "simulated")
        assert promise and (named or excuse in tests), number


def test_every_test_and_script_that_the_table_names_exists():
    text = TABLE.read_text()
    missing = set(NAMED_PYTHON.findall(text)) - python_tests()
    missing |= set(NAMED_SWIFT.findall(text)) - swift_tests()
    missing |= {path for path in PATH.findall(text) if not (ROOT / path).exists()}
    assert not missing, sorted(missing)


def test_every_test_with_a_cases_number_is_in_that_cases_row():
    table = rows()
    for file, name in python_tests():
        numbers = re.match(r"test_case((?:_\d+)+)_", name)
        for number in re.findall(r"\d+", numbers[1]) if numbers else []:
            # A number of the sentence, such as a count, is none of a case.
            if int(number) in CASES:
                assert f"`{file}::{name}`" in table[int(number)][1], (number, name)
