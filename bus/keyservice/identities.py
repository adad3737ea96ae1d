"""The keys that an agency signs with, over its life: the one it began with, those that followed, and which is in force.

One set under one id: Ed25519, ML-DSA-65 for suite 2, SM2 for suite 4 (signer.py). A set that was made signs nothing until a
directory has it; a set that was destroyed is remembered by its id.
"""

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from bus.directory import Directory
from bus.errors import Usage
from bus.keyservice.signer import Signer
from bus.keyservice.vault import Vault
from bus.randomness import Randomness
from bus.sealing import sm2
from bus.sealing.batch import key_id
from schemas.v1 import federation_pb2

_HELD, _GONE = "signing/", "signing-gone/"
_FIRST = ("signing", "signing-ml-dsa-65", "signing-sm2")
_KEY_BYTES = 32


class Identities:
    """The signing keys of one agency, in its vault."""

    def __init__(self, vault: Vault, randomness: Randomness) -> None:
        self._vault = vault
        self._randomness = randomness
        self._names: dict[bytes, tuple[str, ...]] = {}
        self._held: dict[bytes, Signer] = {}
        first = vault.get(_FIRST[0])
        if first is not None:
            self._hold(self._first(first), _FIRST)
        for name in vault.names(_HELD):
            record = vault.get(name)
            if record is not None:
                self._hold(_parsed(record), (name,))
        if not self._held:
            raise Usage(
                "the vault has no signing key", cure="make keys with `lianfang node init`", code="LF-KEYS-MISSING"
            )

    def _first(self, secret: bytes) -> Signer:
        """Return what `node init` made. A vault from before there were suites gets its other keys at its first start now."""
        pair = self._vault.get(_FIRST[2]) or b""
        ml_dsa = self._vault.get_or_make(_FIRST[1])
        if not pair:
            pair = sm2.pair_of(self._randomness.bytes(sm2.NOISE_BYTES))
            self._vault.swap((_FIRST[2],), {_FIRST[2]: pair})
        return _parsed(secret + ml_dsa + pair)

    def _hold(self, signer: Signer, names: tuple[str, ...]) -> bytes:
        wanted = key_id(signer.ed25519.public_key().public_bytes_raw())
        self._names[wanted], self._held[wanted] = names, signer
        return wanted

    def held(self) -> Mapping[bytes, Signer]:
        """Return the signers whose private part is here, by key id."""
        return self._held

    def gone(self) -> list[bytes]:
        """Return the ids of those that were destroyed."""
        return [bytes.fromhex(name.removeprefix(_GONE)) for name in self._vault.names(_GONE)]

    def make(self) -> bytes:
        """Make the next set and return its id; it is on disk once this returns."""
        record = self._randomness.bytes(2 * _KEY_BYTES) + sm2.pair_of(self._randomness.bytes(sm2.NOISE_BYTES))
        signer = _parsed(record)
        name = f"{_HELD}{key_id(signer.ed25519.public_key().public_bytes_raw()).hex()}"
        self._vault.put_all({name: record})
        return self._hold(signer, (name,))

    def destroy(self, wanted: bytes) -> None:
        """Destroy a set; it is gone from the disk's files once this returns. KeyError for one that is not held."""
        self._vault.swap(self._names[wanted], {f"{_GONE}{wanted.hex()}": b""})
        del self._names[wanted], self._held[wanted]

    def current(
        self, agency: str, directory: Directory | None, now_ms: int, without: frozenset[bytes] = frozenset()
    ) -> bytes:
        """Return the id of the set in force: the newest that the directory has and that holds now.

        Before there is a directory, or where none holds any more, it is the first that is held: what it signs is refused.
        """
        if len(self._held) == 1:  # as nearly always: there is no other answer, and every message asks
            return next(iter(self._held))
        if directory is not None and agency in directory.agencies():
            holding = [
                (key.not_before_ms, bytes(key.key_id))
                for key in directory.member(agency).signing_keys
                if bytes(key.key_id) in self._held
                and bytes(key.key_id) not in without
                and directory.signing_key(agency, bytes(key.key_id), now_ms) is not None
            ]
            if holding:
                return max(holding)[1]
        return next(iter(self._held))


def public_parts(signer: Signer) -> federation_pb2.SigningKey:
    """Return the public keys of a set, as a directory has them; without validity."""
    public = signer.ed25519.public_key().public_bytes_raw()
    return federation_pb2.SigningKey(
        key_id=key_id(public),
        public_key=public,
        ml_dsa_65=signer.ml_dsa_65.public_key().public_bytes_raw() if signer.ml_dsa_65 is not None else b"",
        sm2=sm2.public_of(signer.sm2_pair),
    )


def _parsed(record: bytes) -> Signer:
    return Signer(
        Ed25519PrivateKey.from_private_bytes(record[:_KEY_BYTES]),
        MLDSA65PrivateKey.from_seed_bytes(record[_KEY_BYTES : 2 * _KEY_BYTES]),
        record[2 * _KEY_BYTES :],
    )
