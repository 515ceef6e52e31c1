"""Stock tus clients that know nothing of this server, through a network that goes away while they upload."""

import asyncio
import io
import os
import pathlib
import subprocess
import sys

import aiotus
import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusUploadFailed

from cutting_proxy import CuttingProxy
from place import until
from resumable import MIB, chance_of, is_settled, seal
from server import Server
from tus_calls import head

KIB = 1 << 10


@pytest.fixture(scope="module")
def proxy():
    proxy = CuttingProxy()
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def behind(proxy, tmp_path_factory):
    """A server that devices reach through the proxy, as all of its URLs say."""
    server = Server(
        tmp_path_factory.mktemp("behind") / "data", "--public-url", proxy.url,
        "--set", "rate-requests=0")
    server.announced = proxy.url
    proxy.forward_to(server.device_address)
    server.start()
    server.create_tenant("acme")
    yield server
    assert server.stop() == 0


@pytest.fixture
def far(behind, proxy):
    """A device behind a network that is whole as yet."""
    proxy.cut_after()
    return behind.new_device("acme")


@pytest.fixture
def sealed(far, tmp_path):
    """A bundle of several megabytes, as a file too."""
    sealed = seal(far, chance_of("clients"), 3 * MIB)
    (tmp_path / "part.zip").write_bytes(sealed.parts[0])
    return sealed


def endpoint(device):
    return device.base + "/v1/uploads"


def token(device):
    return {"Authorization": f"Bearer {device.token}"}


def program(name):
    """A command that was installed beside this Python."""
    return str(pathlib.Path(sys.executable).with_name(name))


def run(*words, folder, check=True):
    """A program of somebody else's, without a proxy of the machine's in its way."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=120, cwd=folder,
        env=environment)
    assert not check or done.returncode == 0, done
    return done


def last_line(done):
    return done.stdout.strip().splitlines()[-1]


def cuts(proxy, sealed, count, first=5000):
    """The network goes so often, at bytes of the upload, one in each of as many equal ranges."""
    chance, step = chance_of("cuts"), (len(sealed.parts[0]) - first) // count
    proxy.cut_after(*(
        first + step * number + chance.randrange(step - 5000) for number in range(count)))


# -- tuspy


@pytest.mark.parametrize("with_checksum", [False, True])
def test_tuspy_tries_again_where_the_network_went(far, proxy, sealed, tmp_path, with_checksum):
    client = TusClient(endpoint(far), headers=token(far))
    uploader = client.uploader(
        str(tmp_path / "part.zip"), metadata={"bundle_id": sealed.bundle_id, "filename": "a.zip"},
        chunk_size=300 * KIB, retries=10, retry_delay=0, upload_checksum=with_checksum)
    cuts(proxy, sealed, 3)
    uploader.upload()
    assert proxy.cut_count == 3 and uploader.offset == len(sealed.parts[0])
    is_settled(far, sealed)


def test_tuspy_goes_on_in_another_process_from_the_upload_it_wrote_down(far, proxy, sealed, tmp_path):
    path = str(tmp_path / "part.zip")
    client = TusClient(endpoint(far), headers=token(far))
    first = client.uploader(path, metadata={"bundle_id": sealed.bundle_id})
    proxy.cut_after(MIB)
    with pytest.raises(TusUploadFailed):
        first.upload()
    assert proxy.cut_count == 1
    # Else, the HEAD might come before the append of which it asks.
    until(lambda: far.status(sealed.bundle_id)["parts"][0]["received"] > 0)
    second = client.uploader(path, url=first.url)
    assert 0 <= second.offset <= MIB
    second.upload()
    is_settled(far, sealed)


def test_tuspy_stops_and_goes_on(far, sealed, tmp_path):
    client = TusClient(endpoint(far), headers=token(far))
    uploader = client.uploader(
        str(tmp_path / "part.zip"), metadata={"bundle_id": sealed.bundle_id}, chunk_size=200 * KIB)
    uploader.upload(stop_at=MIB)
    assert uploader.offset == MIB
    uploader.upload()
    is_settled(far, sealed)


# -- tus.py


def test_the_commands_tus_upload_and_tus_resume(far, proxy, sealed, tmp_path):
    header = ["--header", "Authorization", token(far)["Authorization"]]
    proxy.cut_after(MIB)
    done = run(
        program("tus-upload"), tmp_path / "part.zip", endpoint(far), *header, "--metadata",
        "bundle_id", sealed.bundle_id, "--chunk-size", 200 * KIB, folder=tmp_path, check=False)
    assert done.returncode != 0 and proxy.cut_count == 1, done
    url = last_line(done)
    assert url.startswith(endpoint(far)), done
    # Whatever of the append that was cut came through.
    assert 0 < head(far, url).offset <= MIB
    run(program("tus-resume"), tmp_path / "part.zip", url, *header, folder=tmp_path)
    is_settled(far, sealed)


# -- aiotus


RETRIES = aiotus.RetryConfiguration(retry_attempts=20, max_retry_period_seconds=0.05)


def test_aiotus_tries_again_where_the_network_went(far, proxy, sealed):
    cuts(proxy, sealed, 3)
    location = asyncio.run(aiotus.upload(
        endpoint(far), io.BytesIO(sealed.parts[0]), {"bundle_id": sealed.bundle_id.encode()},
        config=RETRIES, headers=token(far), chunksize=300 * KIB))
    assert location is not None and proxy.cut_count == 3
    read = asyncio.run(aiotus.metadata(location, headers=token(far)))
    assert read == {"bundle_id": sealed.bundle_id.encode()}
    is_settled(far, sealed)


def test_aiotus_uploads_pieces_at_once(far, proxy, sealed):
    """It names them by their paths, and says `Upload-Concat` with every request."""
    data, count = sealed.parts[0], 5
    size = len(data) // count + 1
    pieces = [io.BytesIO(data[at:at + size]) for at in range(0, len(data), size)]
    cuts(proxy, sealed, 3)
    location = asyncio.run(aiotus.upload_multiple(
        endpoint(far), pieces, {"bundle_id": sealed.bundle_id.encode()}, config=RETRIES,
        headers=token(far), chunksize=200 * KIB, parallel_uploads=3))
    assert location is not None and proxy.cut_count == 3
    is_settled(far, sealed)


# -- resumable-upload


def resumable_upload(device, sealed, folder, *options, **keywords):
    return run(
        program("resumable-upload"), "upload", folder / "part.zip", "--url", endpoint(device),
        "--header", f"Authorization=Bearer {device.token}", "--metadata",
        f"bundle_id={sealed.bundle_id}", "--retry-delay", "0.05", *options, folder=folder,
        **keywords)


@pytest.mark.parametrize("options", [
    ["--checksum", "sha256", "--chunk-size", 200 * KIB],
    ["--checksum", "sha512", "--override-patch-method", "--chunk-size", 300 * KIB],
    ["--checksum", "sha256", "--parallel", 4, "--chunk-size", 200 * KIB],
    ["--checksum", "none", "--parallel", 4, "--override-patch-method"],
    ["--checksum", "sha1", "--request-id", "--chunk-size", 100 * KIB],
])
def test_resumable_upload_tries_again_where_the_network_went(far, proxy, sealed, tmp_path, options):
    # After its creations, which it does not repeat.
    cuts(proxy, sealed, 2, first=20_000)
    done = resumable_upload(far, sealed, tmp_path, *options)
    assert proxy.cut_count == 2
    assert last_line(done).startswith(endpoint(far)), done
    is_settled(far, sealed)


def test_resumable_upload_goes_on_in_another_process(far, proxy, sealed, tmp_path):
    options = ["--resume", "--chunk-size", 200 * KIB]
    # It tries again at once on a new connection, which goes as well.
    proxy.cut_after(MIB, MIB + 1)
    done = resumable_upload(
        far, sealed, tmp_path, *options, "--max-retries", 0, check=False)
    assert done.returncode == 1 and proxy.cut_count == 2, done
    url = last_line(resumable_upload(far, sealed, tmp_path, *options))
    told = run(
        program("resumable-upload"), "info", url, "--header",
        f"Authorization=Bearer {far.token}", folder=tmp_path).stdout
    assert f"offset:   {len(sealed.parts[0])}" in told and "complete: True" in told, told
    is_settled(far, sealed)
