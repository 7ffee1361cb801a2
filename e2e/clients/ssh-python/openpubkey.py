"""Plays `opkssh login`, which needs a browser: a key, an identity token asked for with its hash, and the two as a
certificate of OpenSSH's format.

    openpubkey.py KEY_FILE P256|ED25519 COMMAND…

COMMAND prints the identity token; `{nonce}` in it becomes the hash. KEY_FILE, KEY_FILE.pub and KEY_FILE-cert.pub are
written; the certificate is made by ssh-keygen. Format: openpubkey's pktoken.CompactPKToken, opkssh's sshcert.New.
"""

import base64
import hashlib
import json
import os
import secrets
import subprocess
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_key(kind):
    if kind == "ED25519":
        key = ed25519.Ed25519PrivateKey.generate()
        x = key.public_key().public_bytes_raw()
        return key, {"alg": "EdDSA", "crv": "Ed25519", "kty": "OKP", "x": b64(x)}
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_numbers()
    x, y = (b64(n.to_bytes(32, "big")) for n in (point.x, point.y))
    return key, {"alg": "ES256", "crv": "P-256", "kty": "EC", "x": x, "y": y}


def sign(key, message):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def main(path, kind, *command):
    key, upk = new_key(kind)
    header = {"alg": upk["alg"], "rz": secrets.token_hex(32), "typ": "CIC", "upk": upk}
    header = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    nonce = b64(hashlib.sha3_256(header).digest())
    command = [word.replace("{nonce}", nonce) for word in command]
    issued = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    issuers_header, payload, signature = issued.split(".")
    own = sign(key, f"{b64(header)}.{payload}".encode())
    token = ":".join([payload, issuers_header, signature, b64(header), b64(own)])
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(private)
    with open(path + ".pub", "wb") as file:
        file.write(public + b"\n")
    certify = ["ssh-keygen", "-q", "-s", path, "-I", "ada@example.com", "-n", "ada", "-O", f"extension:openpubkey-pkt={token}"]
    subprocess.run([*certify, path + ".pub"], check=True)


main(*sys.argv[1:])
