"""TLS by certificate and key files, from 1.2 on; never plain HTTP beside it."""

import datetime
import ipaddress
import socket
import ssl

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_plain_http_and_old_tls_are_refused(world):
    server, certificate = world
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(server.device_url.replace("https:", "http:") + "/v1/device", timeout=30)
    host, port = server.device_address.split(":")
    context = ssl.create_default_context(cafile=certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection((host, int(port)), timeout=30) as plain:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname=host)
