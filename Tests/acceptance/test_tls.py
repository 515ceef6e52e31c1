"""TLS by certificate and key files, from 1.2 on; never plain HTTP beside it."""

import datetime
import ipaddress
import struct

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from raw import Raw, exchange
from server import Server
from stranger import new_id, transaction


def make_certificate(folder):
    """Certificate and key for 127.0.0.1; the paths of their files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256()))
    (folder / "certificate.pem").write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))
    return str(folder / "certificate.pem"), str(folder / "key.pem")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = make_certificate(folder)
    server = Server(
        folder / "data", "--tls-certificate", certificate, "--tls-key", key).start()
    yield server, certificate
    assert server.stop() == 0


def test_a_bundle_travels_over_tls(world, monkeypatch):
    server, certificate = world
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
    tenant = server.create_tenant("acme")
    device = server.new_device(tenant)
    assert device.base.startswith("https://")
    assert device.send([transaction()])["counts"]["accepted"] == 1
    answer = device.upload_raw(device.seal(bundle_id := new_id(), [transaction()]), bundle_id)
    assert answer.headers["Location"] == f"{device.base}/v1/bundles/{bundle_id}"


def test_plain_http_is_refused(world):
    server, _ = world
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(server.device_url.replace("https:", "http:") + "/v1/device", timeout=30)
    answer = exchange(server, "GET /v1/device HTTP/1.1\r\nHost: a\r\n\r\n").raw
    assert b"HTTP/1.1" not in answer


def client_hello(version):
    """A ClientHello by hand that offers nothing over a version: an own client may refuse to speak old ones."""
    # ECDHE with ECDSA, AES-GCM for 1.2, AES-CBC with SHA-1 for the others.
    suites = bytes.fromhex("c02bc009c00a00ff")
    extensions = bytes.fromhex(
        "000a00040002 0017"  # P-256
        "000b00020100"  # uncompressed points
        "000d0006000404030203"  # ECDSA with SHA-256 and SHA-1
        .replace(" ", ""))
    hello = version + bytes(32) + b"\0" + struct.pack(">H", len(suites)) + suites + b"\1\0"
    hello += struct.pack(">H", len(extensions)) + extensions
    handshake = b"\1" + len(hello).to_bytes(3, "big") + hello
    return b"\x16\3\1" + struct.pack(">H", len(handshake)) + handshake


@pytest.mark.parametrize("name, version, is_served", [
    ("TLS 1.0", b"\3\1", False), ("TLS 1.1", b"\3\2", False), ("TLS 1.2", b"\3\3", True)])
def test_tls_before_1_2_is_refused(world, name, version, is_served):
    server, _ = world
    with Raw(server) as raw:
        raw.send(client_hello(version))
        while len(raw.data) < 7 and raw.receive():
            pass
    if is_served:
        assert (raw.data[0], raw.data[5]) == (22, 2), "a ServerHello"
    else:
        # A fatal alert: protocol_version, or handshake_failure of one that knows no such suite.
        assert raw.data[0] == 21 and raw.data[5] == 2 and raw.data[6] == 70, raw.data
