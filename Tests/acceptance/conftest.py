import itertools
import sys

import pytest

import contract
from server import Server

sys.dont_write_bytecode = True
contract.judge_every_answer()
_tenants = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One server for all tests that do not hurt it."""
    directory = tmp_path_factory.mktemp("server") / "data"
    # One device of a test sends more in a second than one in the field.
    server = Server(directory, "--set", "rate-requests=0", "--set", "rate-failures=0").start()
    yield server
    if server.is_running:
        assert server.stop() == 0


@pytest.fixture
def tenant(server):
    return server.create_tenant(f"tenant-{next(_tenants)}")


@pytest.fixture
def device(server, tenant):
    return server.new_device(tenant)
