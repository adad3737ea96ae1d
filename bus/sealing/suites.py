"""Suites: fixed tuples of algorithms, chosen by policy and never in band (docs/adr/0008-suites.md).

A suite's number stands in the header and in the grant, both signed and bound to every box, so that nothing made under
one suite passes under another. Nothing falls back: a receiver refuses what its policy bundle does not allow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.hashes import SM3, Hash

from audit import tree

_BLOCK_BYTES = 64
_INNER, _OUTER = (bytes(value ^ pad for value in range(256)) for pad in (0x36, 0x5C))
_TAG_BYTES = 16
_SM4_KEY_BYTES, _NONCE_BYTES = 16, 12
_Of = Callable[[bytes], bytes]


class Sm4Gcm:
    """SM4-GCM (RFC 8998) under a message key of 32 bytes, with the face of AESGCM.

    SM4's key is half of it. The nonce comes from the other half, whatever the caller says, so that among very many messages
    two equal keys of 128 bits are not yet one key stream.
    """

    def __init__(self, key: bytes) -> None:
        self._key, self._nonce = key[:_SM4_KEY_BYTES], key[_SM4_KEY_BYTES : _SM4_KEY_BYTES + _NONCE_BYTES]

    def encrypt(self, _: bytes, plain: bytes, associated: bytes) -> bytes:
        """Return ciphertext and tag."""
        encryptor = Cipher(SM4(self._key), modes.GCM(self._nonce)).encryptor()
        encryptor.authenticate_additional_data(associated)
        ciphertext = encryptor.update(plain) + encryptor.finalize()
        return ciphertext + encryptor.tag

    def decrypt(self, _: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """Return the text. InvalidTag for whatever does not open."""
        if len(ciphertext) < _TAG_BYTES:
            raise InvalidTag
        decryptor = Cipher(SM4(self._key), modes.GCM(self._nonce, ciphertext[-_TAG_BYTES:])).decryptor()
        decryptor.authenticate_additional_data(associated)
        return decryptor.update(ciphertext[:-_TAG_BYTES]) + decryptor.finalize()


@dataclass(frozen=True)
class Suite:
    """A suite."""

    number: int
    name: str
    hash: _Of
    leaf_hash: _Of
    node_hash: Callable[[bytes, bytes], bytes]
    derive: Callable[[bytes, bytes], bytes]
    """HMAC over the suite's hash: class key and label in, message key of 32 bytes out."""
    aead: Callable[[bytes], AESGCM | Sm4Gcm]
    """Of a message key; its nonce is zero, for the key is used once."""
    wraps_with_x_wing: bool = False
    signs_with_sm2: bool = False
    signs_with_ml_dsa_65_too: bool = False


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA256 (RFC 2104) under a key of at most one block.

    Written out because OpenSSL's own looks its algorithm up at each call, which costs more than the hashing: a box needs
    one key, and a message several boxes.
    """
    assert len(key) <= _BLOCK_BYTES, "a longer key would have to be hashed first"
    block = key.ljust(_BLOCK_BYTES, b"\0")
    return sha256(block.translate(_OUTER) + sha256(block.translate(_INNER) + message).digest()).digest()


def hmac_sm3(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SM3 under a key of at most one block; SM3 has SHA-256's block and output."""
    assert len(key) <= _BLOCK_BYTES, "a longer key would have to be hashed first"
    block = key.ljust(_BLOCK_BYTES, b"\0")
    return sm3(block.translate(_OUTER) + sm3(block.translate(_INNER) + message))


def sm3(data: bytes) -> bytes:
    """Return SM3 (GB/T 32905), by OpenSSL as `cryptography` brings it: Python's own need not have it."""
    digest = Hash(SM3())
    digest.update(data)
    return digest.finalize()


def _sha256(data: bytes) -> bytes:
    return sha256(data).digest()


def _sm3_leaf(data: bytes) -> bytes:
    return sm3(b"\x00" + data)


def _sm3_node(left: bytes, right: bytes) -> bytes:
    return sm3(b"\x01" + left + right)


_AES = (_sha256, tree.leaf_hash, tree.node_hash, hmac_sha256, AESGCM)
_SM = (sm3, _sm3_leaf, _sm3_node, hmac_sm3, Sm4Gcm)
CLASSICAL = Suite(1, "X25519, AES-256-GCM, SHA-256, Ed25519", *_AES)
SUITES = {
    suite.number: suite
    for suite in (
        CLASSICAL,
        Suite(
            2,
            "X-Wing, AES-256-GCM, SHA-256, Ed25519 and ML-DSA-65",
            *_AES,
            wraps_with_x_wing=True,
            signs_with_ml_dsa_65_too=True,
        ),
        Suite(3, "X25519, SM4-GCM, SM3, Ed25519", *_SM),
        Suite(4, "X25519, SM4-GCM, SM3, SM2", *_SM, signs_with_sm2=True),
    )
}
"""Every suite by its number."""
