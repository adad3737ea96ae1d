"""An agency's own prekeys: made, followed by the next, and destroyed when nothing that is on its way can need them.

- A prekey is an X25519 key and the X-Wing key of suite 2, under one id and of one life.
- Its private part is destroyed a grace after its last use: its own end, or one lifetime after its successor came, whichever
  is first. Who copies the vault later opens no grant made for it; class keys of grants taken in before are kept apart.
- That it was here and is no more is remembered, so that a grant for it is told from one for a stranger's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from bus.errors import Usage
from bus.keyservice.vault import Vault
from bus.randomness import Randomness
from bus.sealing import kem
from bus.sealing.batch import key_id
from bus.sealing.errors import GrantRefused

_HELD, _GONE = "prekey/", "prekey-gone/"
_ENROLMENT = ("prekey", "prekey-from", "prekey-x-wing")
ENROLMENT_LIFETIME_MS = 400 * 86_400_000
"""How long the prekey of `node init` may serve: it waits for its directory for weeks, and for the first notice after."""
_TIME_BYTES, _KEY_BYTES = 8, 32


@dataclass(frozen=True)
class OwnPrekey:
    """A prekey of our own. `secret` and `x_wing_seed` are empty, and `gone_ms` is not 0, once it is destroyed."""

    key_id: bytes
    not_before_ms: int
    not_after_ms: int
    secret: bytes = b""
    x_wing_seed: bytes = b""
    gone_ms: int = 0
    names: tuple[str, ...] = ()
    """What it is called in the vault."""

    @property
    def public(self) -> bytes:
        """The X25519 public key."""
        return X25519PrivateKey.from_private_bytes(self.secret).public_key().public_bytes_raw()

    @property
    def x_wing(self) -> bytes:
        """The X-Wing public key."""
        return kem.x_wing_public(self.x_wing_seed)


class Prekeys:
    """The prekeys of one agency, in its vault."""

    def __init__(self, vault: Vault, randomness: Randomness) -> None:
        self._vault = vault
        self._randomness = randomness
        self._held = self._read()
        if not self._held:
            raise Usage("the vault has no prekey", cure="make keys with `lianfang node init`", code="LF-KEYS-MISSING")
        self._gone = {bytes.fromhex(name.removeprefix(_GONE)) for name in vault.names(_GONE)}
        self._private: dict[tuple[bytes, bool], X25519PrivateKey | MLKEM768X25519PrivateKey] = {}

    def _read(self) -> dict[bytes, OwnPrekey]:
        held = [self._enrolled(), *(self._named(name) for name in self._vault.names(_HELD))]
        found = [prekey for prekey in held if prekey is not None]
        return {prekey.key_id: prekey for prekey in sorted(found, key=lambda item: item.not_before_ms)}

    def _enrolled(self) -> OwnPrekey | None:
        """Return the prekey that `node init` made, if it is still here; one from before suite 2 gets its X-Wing key now."""
        secret, begins = self._vault.get(_ENROLMENT[0]), self._vault.get(_ENROLMENT[1])
        if secret is None or begins is None:
            return None
        ends = int.from_bytes(begins, "big") + ENROLMENT_LIFETIME_MS
        seed = self._vault.get_or_make(_ENROLMENT[2])
        return _parsed(begins + ends.to_bytes(_TIME_BYTES, "big") + secret + seed, _ENROLMENT)

    def _named(self, name: str) -> OwnPrekey | None:
        record = self._vault.get(name)
        return None if record is None else _parsed(record, (name,))

    def held(self) -> Sequence[OwnPrekey]:
        """Return those whose private part is here, oldest first."""
        return tuple(self._held.values())

    def gone(self) -> Sequence[OwnPrekey]:
        """Return those that were destroyed, oldest first."""
        found = []
        for name in self._vault.names(_GONE):
            record = self._vault.get(name) or b""
            times = [
                int.from_bytes(record[at : at + _TIME_BYTES], "big") for at in range(0, 3 * _TIME_BYTES, _TIME_BYTES)
            ]
            found.append(OwnPrekey(bytes.fromhex(name.removeprefix(_GONE)), times[0], times[1], gone_ms=times[2]))
        return sorted(found, key=lambda item: item.not_before_ms)

    def newest(self) -> OwnPrekey:
        """Return the prekey that others are to use."""
        return next(reversed(self._held.values()))

    def make(self, now_ms: int, lifetime_ms: int) -> OwnPrekey:
        """Make the next prekey; it is on disk once this returns."""
        begins = max(now_ms, self.newest().not_before_ms + 1 if self._held else 0)
        record = (
            begins.to_bytes(_TIME_BYTES, "big")
            + (begins + lifetime_ms).to_bytes(_TIME_BYTES, "big")
            + self._randomness.bytes(2 * _KEY_BYTES)
        )
        made = _parsed(record, ())
        name = f"{_HELD}{made.key_id.hex()}"
        self._vault.put_all({name: record})
        self._held[made.key_id] = replace(made, names=(name,))
        return made

    def due(self, now_ms: int, lifetime_ms: int, grace_ms: int) -> list[bytes]:
        """Return the ids of those whose time to be destroyed has come; the newest is never among them."""
        ordered = list(self._held.values())
        return [
            prekey.key_id
            for prekey, successor in pairwise(ordered)  # the newest has none
            if min(prekey.not_after_ms, successor.not_before_ms + lifetime_ms) + grace_ms < now_ms
        ]

    def destroy(self, wanted: bytes, now_ms: int) -> None:
        """Destroy a private part; it is gone from the disk's files once this returns. KeyError for one that is not held."""
        prekey = self._held[wanted]
        times = b"".join(
            moment.to_bytes(_TIME_BYTES, "big") for moment in (prekey.not_before_ms, prekey.not_after_ms, now_ms)
        )
        self._vault.swap(prekey.names, {f"{_GONE}{wanted.hex()}": times})
        del self._held[wanted]
        self._gone.add(wanted)
        for x_wing in (False, True):
            self._private.pop((wanted, x_wing), None)

    def private(self, wanted: bytes, *, x_wing: bool) -> X25519PrivateKey | MLKEM768X25519PrivateKey:
        """Return the private key of an id, of that kind. GrantRefused when it was never ours, or is no more."""
        if wanted not in self._held:
            if wanted in self._gone:
                raise GrantRefused(
                    "the grant is for a prekey that was destroyed when its time was over",
                    code="LF-SEAL-GRANT-PREKEY-DESTROYED",
                )
            raise GrantRefused("the grant is wrapped to a prekey that is not ours", code="LF-SEAL-GRANT-PREKEY")
        found = self._private.get((wanted, x_wing))
        if found is None:
            prekey = self._held[wanted]
            found = self._private[wanted, x_wing] = (
                kem.x_wing_private(prekey.x_wing_seed) if x_wing else X25519PrivateKey.from_private_bytes(prekey.secret)
            )
        return found


def _parsed(record: bytes, names: tuple[str, ...]) -> OwnPrekey:
    begins, ends = (int.from_bytes(record[at : at + _TIME_BYTES], "big") for at in (0, _TIME_BYTES))
    secret, seed = record[2 * _TIME_BYTES :][:_KEY_BYTES], record[2 * _TIME_BYTES + _KEY_BYTES :]
    public = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    return OwnPrekey(key_id(public), begins, ends, secret, seed, names=names)
