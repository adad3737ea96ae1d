"""What becomes of an agency's keys: which there are, the next ones, what is revoked, and what is destroyed when.

- Each step is on disk before it returns, and done again changes nothing: whoever died between two steps calls again.
- What others must know stands in one notice (bus/key_notices.py): the newest prekey, and every key revoked so far.
- A new signing key asks for a directory: it is made here with the agency's consent, and serves once a directory has it.
"""

from collections import Counter
from collections.abc import Collection

from bus import documents, key_notices
from bus.clock import Clock
from bus.directory import Directory, DirectoryRefused
from bus.directory_rules import consent_signed_bytes, prekey_signed_bytes
from bus.errors import Usage
from bus.keyservice.identities import Identities, public_parts
from bus.keyservice.pins import Pins
from bus.keyservice.prekeys import OwnPrekey, Prekeys
from bus.keyservice.protocol import KeyState
from bus.keyservice.signer import Signer
from bus.keyservice.vault import Vault
from bus.sealing import boxes
from bus.sealing.batch import key_id
from schemas.v1 import federation_pb2

_SIGNING_LIFETIME_MS = 800 * 86_400_000
_SUITES = "1 2 3"
_GONE_SHOWN_MAX = 16


class Lifecycle:
    """Looks after the keys of one agency."""

    def __init__(self, agency: str, vault: Vault, pins: Pins, keys: tuple[Prekeys, Identities], clock: Clock) -> None:
        self._agency = agency
        self._vault = vault
        self._pins = pins
        self._prekeys, self._identities = keys
        self._clock = clock

    def signer(self, without: frozenset[bytes] = frozenset()) -> Signer:
        """Return the signing keys in force."""
        return self._identities.held()[self._current(without)]

    def _current(self, without: frozenset[bytes] = frozenset()) -> bytes:
        return self._identities.current(self._agency, self._pins.known, self._clock.now_ms(), without)

    def next_prekey(self, lifetime_ms: int) -> bytes:
        """Make the next prekey and return its id; one that was made and never made known is taken up instead."""
        if not 0 < lifetime_ms <= key_notices.PREKEY_LIFETIME_MS_MAX:
            raise Usage(
                "a prekey lives at most 90 days", cure="set prekey_days in [keys] of node.toml", code="LF-KEYS-LIFETIME"
            )
        newest = self._prekeys.newest()
        if newest.key_id in self._known_prekeys():
            newest = self._prekeys.make(self._clock.now_ms(), lifetime_ms)
        return newest.key_id

    def _known_prekeys(self) -> set[bytes]:
        directory = self._pins.directory()
        notice = directory.notices.get(self._agency)
        listed = directory.member(self._agency).prekeys if self._agency in directory.agencies() else ()
        return {bytes(key.key_id) for key in (*listed, *(notice.prekeys if notice is not None else ()))}

    def notice(self, revoke: Collection[bytes] = (), lifetime_ms: int = 0) -> bytes:
        """Return the notice that others are to hold, with these keys revoked too; it is held to here first.

        The same again as long as nothing changed. Where the newest prekey is revoked, another of that lifetime is made.
        """
        directory = self._pins.directory()
        held = directory.notices.get(self._agency)
        before = held.revoked if held is not None else frozenset()
        self._require_ours(revoke, directory)
        revoked = before | frozenset(revoke)
        if self._prekeys.newest().key_id in revoked:
            self._prekeys.make(self._clock.now_ms(), lifetime_ms or key_notices.PREKEY_LIFETIME_MS_MAX)
        prekeys = self._signed_prekeys(revoked)
        document = self._pins.notice(self._agency)
        signer = key_id(self.signer(revoked).ed25519.public_key().public_bytes_raw())
        if held is not None and (held.revoked, list(held.prekeys)) == (revoked, prekeys):
            return document
        if signer in revoked:  # the last key says of itself that it is revoked
            signer = self._current()
        body = federation_pb2.KeyNoticeBody(
            agency=self._agency,
            issued_at_ms=max(self._clock.now_ms(), held.issued_at_ms + 1 if held is not None else 1),
            prekeys=prekeys,
            revoked_key_ids=sorted(revoked),
        ).SerializeToString(deterministic=True)
        document = federation_pb2.KeyNotice(
            body=body,
            signature=federation_pb2.DocumentSignature(
                agency=self._agency,
                key_id=signer,
                signature=self._identities.held()[signer].ed25519.sign(
                    documents.signed_bytes(key_notices.DOMAIN, body)
                ),
            ),
        ).SerializeToString(deterministic=True)
        self._pins.install_notice(document)
        return document

    def _require_ours(self, wanted: Collection[bytes], directory: Directory) -> None:
        listed = directory.member(self._agency).signing_keys if self._agency in directory.agencies() else ()
        known = (
            self._known_prekeys() | {bytes(key.key_id) for key in listed} | {key.key_id for key in self._prekeys.held()}
        )
        for item in wanted:
            if item not in known:
                raise _unknown()

    def _signed_prekeys(self, revoked: frozenset[bytes]) -> list[federation_pb2.Prekey]:
        """Return the newest prekey, signed by the key in force; nothing where that is the one of `node init`, or no key holds."""
        newest, signer = self._prekeys.newest(), self.signer(revoked)
        signer_id = key_id(signer.ed25519.public_key().public_bytes_raw())
        is_long = newest.not_after_ms - newest.not_before_ms > key_notices.PREKEY_LIFETIME_MS_MAX
        if is_long or signer_id in revoked:
            return []
        return [self.signed(newest, signer)]

    def signed(self, prekey: OwnPrekey, signer: Signer) -> federation_pb2.Prekey:
        """Return a prekey as documents have it."""
        public, x_wing = prekey.public, prekey.x_wing
        begins, ends = prekey.not_before_ms, prekey.not_after_ms
        return federation_pb2.Prekey(
            key_id=prekey.key_id,
            public_key=public,
            not_before_ms=begins,
            not_after_ms=ends,
            signature=signer.ed25519.sign(prekey_signed_bytes(self._agency, public, begins, ends, x_wing)),
            x_wing=x_wing,
        )

    def next_identity(self, overlap_ms: int) -> bytes:
        """Return this agency's entry with the next signing key, which it consents to, for the next directory.

        One that was made and stands in no directory yet is taken up. Both keys are good for the overlap.
        """
        directory, now = self._pins.directory(), self._clock.now_ms()
        if self._agency not in directory.agencies():
            raise Usage(f"{self._agency} is not in the directory", cure="have it added", code="LF-ENROL-NOT-MEMBER")
        entry = federation_pb2.Member()
        entry.CopyFrom(directory.member(self._agency))
        listed = {bytes(key.key_id) for key in entry.signing_keys}
        waiting = [item for item in self._identities.held() if item not in listed]
        made = waiting[-1] if waiting else self._identities.make()
        begins = max(now, *(key.not_before_ms + 1 for key in entry.signing_keys), 0)
        for key in entry.signing_keys:
            key.not_after_ms = min(key.not_after_ms, now + overlap_ms)
        added = entry.signing_keys.add()
        added.CopyFrom(public_parts(self._identities.held()[made]))
        added.not_before_ms, added.not_after_ms = begins, begins + _SIGNING_LIFETIME_MS
        signer = self.signer()
        entry.consent_key_id = key_id(signer.ed25519.public_key().public_bytes_raw())
        entry.consent = signer.ed25519.sign(consent_signed_bytes(entry))
        return entry.SerializeToString(deterministic=True)

    def check_own(self, directory: Directory) -> None:
        """Refuse a directory that gives this agency a key that it did not make. DirectoryRefused."""
        before = self._pins.known
        if before is None or self._agency not in before.agencies():
            return
        own, was = directory.member(self._agency), before.member(self._agency)
        known = {bytes(key.key_id) for key in was.signing_keys} | set(self._identities.held())
        strange = [key for key in own.signing_keys if bytes(key.key_id) not in known and not key.revoked]
        if strange or (own.log_vkey, own.witness_vkey) != (was.log_vkey, was.witness_vkey):
            raise DirectoryRefused(
                f"it gives {self._agency} a key that {self._agency} did not make",
                code="LF-DIRECTORY-OTHER-KEYS",
                cure="the pinned directory stays in force here; tell the auditor and every registrar at once",
            )

    def retire(self, wanted: bytes) -> None:
        """Destroy a key that is no more in force. Usage for one that is, or is none of ours; one destroyed stays so."""
        if wanted in {key.key_id for key in self._prekeys.gone()} | set(self._identities.gone()):
            return
        held = {key.key_id for key in self._prekeys.held()}
        if wanted in (self._prekeys.newest().key_id, self._current()):
            raise Usage(
                "the key is in force", cure="rotate first; then the one before it can go", code="LF-KEYS-IN-FORCE"
            )
        if wanted in held:
            self._prekeys.destroy(wanted, self._clock.now_ms())
        elif wanted in self._identities.held():
            self._identities.destroy(wanted)
        else:
            raise _unknown()

    def sweep(self, lifetime_ms: int, grace_ms: int) -> list[bytes]:
        """Destroy what has had its time: prekeys after their grace, and what is revoked; return their ids."""
        now, known = self._clock.now_ms(), self._pins.known
        due = set(self._prekeys.due(now, lifetime_ms, grace_ms))
        if known is not None:
            held = (key.key_id for key in self._prekeys.held()[:-1])
            due |= {item for item in held if known.has_revoked(self._agency, item)}
        for item in sorted(due):
            self._prekeys.destroy(item, now)
        return sorted(due)

    def states(self) -> list[KeyState]:
        """Return every key, oldest first of each kind."""
        uses = self._uses()
        return [*self._identity_states(uses), *self._prekey_states(uses), *self._log_states(), *self._epoch_states()]

    def _uses(self) -> Counter[bytes]:
        """Return how many grants each key has signed or opened."""
        uses: Counter[bytes] = Counter()
        for document, _, _, _ in self._vault.grants():
            grant = boxes.parse_grant(document)
            if grant.body.sender == self._agency:
                uses[bytes(grant.body.sender_key_id)] += 1
            elif self._agency in grant.wraps:
                uses[bytes(grant.wraps[self._agency][0])] += 1
        return uses

    def _identity_states(self, uses: Counter[bytes]) -> list[KeyState]:
        known, current, held = self._pins.known, self._current(), self._identities.held()
        in_directory = known is not None and self._agency in known.agencies()
        listed = list(known.member(self._agency).signing_keys) if known is not None and in_directory else []
        found = []
        for key in sorted(listed, key=lambda item: item.not_before_ms):
            item = bytes(key.key_id)
            is_revoked = known is not None and known.is_revoked(self._agency, item)
            state = "current" if item == current else "former" if item in held else "destroyed"
            times = (key.not_before_ms, key.not_after_ms)
            found.append(
                KeyState(item, "identity", _suites(key), "revoked" if is_revoked else state, *times, uses[item])
            )
        waiting = [item for item in held if item not in {bytes(key.key_id) for key in listed}]
        return found + [
            KeyState(item, "identity", _suites(public_parts(held[item])), "waiting for a directory", 0, 0, 0)
            for item in waiting
        ]

    def _prekey_states(self, uses: Counter[bytes]) -> list[KeyState]:
        known, newest = self._pins.known, self._prekeys.newest().key_id
        found = []
        for key in (*self._prekeys.gone()[-_GONE_SHOWN_MAX:], *self._prekeys.held()):
            state = "destroyed" if key.gone_ms else "current" if key.key_id == newest else "former"
            if known is not None and known.has_revoked(self._agency, key.key_id) and not key.gone_ms:
                state = "revoked"
            times = (key.not_before_ms, key.not_after_ms)
            found.append(KeyState(key.key_id, "prekey", _SUITES, state, *times, uses[key.key_id]))
        return sorted(found, key=lambda item: item.not_before_ms)

    def _log_states(self) -> list[KeyState]:
        known = self._pins.known
        if known is None or self._agency not in known.agencies():
            return []
        own = known.member(self._agency)
        vkeys = (("log", own.log_vkey), ("witness", own.witness_vkey))
        return [KeyState(bytes.fromhex(vkey.split("+")[1]), kind, "", "current", 0, 0, 0) for kind, vkey in vkeys]

    def _epoch_states(self) -> list[KeyState]:
        """Return own grants that are still in time, with the sequence numbers that they may have given out."""
        now, found = self._clock.now_ms(), []
        for document, plan, not_after_ms, reserved in self._vault.grants():
            grant = boxes.parse_grant(document)
            if grant.body.sender == self._agency and not_after_ms >= now:
                state = "current" if plan else "ended"
                times = (grant.body.not_before_ms, not_after_ms)
                found.append(KeyState(grant.grant_id, "epoch", str(grant.body.suite), state, *times, reserved))
        return sorted(found, key=lambda item: item.not_before_ms)


def _suites(key: federation_pb2.SigningKey) -> str:
    return " ".join(["1", *(["2"] if key.ml_dsa_65 else []), "3", *(["4"] if key.sm2 else [])])


def _unknown() -> Usage:
    return Usage(
        "there is no such key of this agency", cure="`lianfang keys list` has them", code="LF-KEYS-NO-SUCH-KEY"
    )
