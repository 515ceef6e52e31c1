import itertools
import sys

import pytest

import contract
from place import Place
from server import Postgres, Server

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


@pytest.fixture(scope="module")
def postgres():
    """A PostgreSQL that the tests of a file share; each takes a database of its own."""
    postgres = Postgres()
    yield postgres
    postgres.stop("immediate")
    postgres.remove()


@pytest.fixture
def make_place(tmp_path, postgres):
    """Makes servers, each with a database of its own, that end with the test."""
    places = []

    def make(*settings, **options):
        number = next(_tenants)
        places.append(Place(tmp_path, postgres, f"place{number}", *settings, **options))
        return places[-1]

    def close():
        for place in places:
            place.close()

    make.close = close
    yield make
    close()
