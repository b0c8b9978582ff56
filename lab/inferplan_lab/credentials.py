"""Secrets of the lab's control plane: the service account signing key and the administrator's token."""

import base64
import secrets

# Order of the base point of NIST P-256 (FIPS 186-5, SP 800-186 section 3.2.1.3): a private key is below it.
P256_ORDER = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551
# DER of RFC 5915's ECPrivateKey around the 32 bytes: SEQUENCE { INTEGER 1, OCTET STRING …,
# [0] { OID 1.2.840.10045.3.1.7 } }. The public key is optional there, and Go computes it.
BEFORE_KEY = bytes.fromhex("3031 020101 0420")
AFTER_KEY = bytes.fromhex("a00a 0608 2a8648ce3d030107")


def signing_key() -> str:
    """Return a new P-256 private key as PEM; needs no openssl and no cryptography package."""
    number = secrets.randbelow(P256_ORDER - 1) + 1
    der = BEFORE_KEY + number.to_bytes(32, "big") + AFTER_KEY
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN EC PRIVATE KEY-----\n{lines}\n-----END EC PRIVATE KEY-----\n"


def admin_token() -> str:
    """Return a new random bearer token."""
    return secrets.token_hex(24)


def token_file(token: str) -> str:
    """Return kube-apiserver's static token file with one line: an administrator of everything."""
    return f'{token},inferplan-lab-admin,inferplan-lab-admin,"system:masters"\n'
