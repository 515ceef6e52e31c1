"""The vectors that the contract prints, with the stranger's own code: no server needed."""

import hashlib

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stranger import b64url, bundle_sha256, part_password

DEVICE = "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0"
BUNDLE = "0190163d-8694-739b-aea5-966c26f8ad91"


def test_passwords_of_parts():
    secret = bytes(range(32))
    assert part_password(secret, "acme", DEVICE, BUNDLE, 1, 1) == (
        "ZPjG_54sxiTbjno3aIKi9a96PRsVw-sy4MWYyOfDrLk")
    assert part_password(secret, "acme", DEVICE, BUNDLE, 1, 2) == (
        "zrhzgxLaZ_0ecvLWA7Plghs-n0huFEWS4wtcaQ0KvpA")


def test_digests_of_bundles():
    assert bundle_sha256(b"one", b"two") == (
        "11914c19a28a98c57d12f3cce6c32b7944784f4b4781a706c24eb1dc284e2856")
    assert bundle_sha256(b"one") == (
        "fe8d7a873dc48961a6af334c996b2cb3ce37149d5ce9c9253952a54c6a92c1ad")


def test_a_receipts_hash_and_signature():
    receipt = {
        "bundle_id": BUNDLE, "bundle_sha256": bundle_sha256(b"one"),
        "counts": {"accepted": 1, "conflict": 0, "duplicate": 0, "rejected": 0},
        "device_id": DEVICE, "exceptions": [], "key_id": "k1", "previous": "0" * 64, "seq": 1,
        "settled_at": "2026-11-21T03:00:00.000000Z", "state": "settled",
    }
    digest = hashlib.sha256(rfc8785.dumps(receipt)).digest()
    assert digest.hex() == "70a2952f24866de816562c4c75e6a9005286f9839a730e2ee14f154bfb083a71"
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert b64url(key.sign(b"waybill/v1/receipt\0" + digest)) == (
        "BWUTenmgQqPm6HHxRBhd-JT1K_qM-GobmwPP9xbV6_XeCRUcH17EPMVs6ZdG1vtwy4ULaC7ynRc5UFBCjcRnBA")
