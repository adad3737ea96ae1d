"""The directory and the policy bundle that the key service holds to: pinned in its own vault.

The node hands documents on, and its database may be anybody's who stole the node; only the successor rules of
bus/directory.py and bus/policy/bundle.py let another in here, before and after a restart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from google.protobuf.message import DecodeError

from bus import key_notices
from bus.clock import Clock
from bus.directory import Directory, body_digest
from bus.errors import Retry, Usage
from bus.keyservice.vault import Vault
from bus.policy.bundle import Bundle, Pin
from bus.policy.errors import PolicyError
from bus.sealing.errors import CannotOpen
from schemas.v1 import federation_pb2

_DIRECTORY, _POLICY, _NOTICE = "directory", "policy", "notice/"


@dataclass(frozen=True)
class _Pin:
    """What succession is judged by: serial, digest and the digest before it."""

    serial: int
    sha256: bytes
    previous_sha256: bytes


class Pins:
    """What the key service judges by."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        document = vault.pinned(_DIRECTORY)
        self._notices = {name: vault.pinned(name) or b"" for name in vault.pinned_names(_NOTICE)}
        taken = (key_notices.remembered(notice) for notice in self._notices.values())
        said = {notice.agency: notice for notice in taken}
        self._directory = Directory.pinned(document).with_notices(said) if document is not None else None
        self._bundle: Bundle | None = None
        self._policy: _Pin | None = None
        held = vault.pinned(_POLICY)
        if held is not None:
            self._take_up_bundle(held)

    def directory(self) -> Directory:
        """Return the directory. Usage when there is none, Retry once it has expired."""
        if self._directory is None:
            raise Usage(
                "the key service has no member directory yet", cure="enrol the node", code="LF-KEYS-NO-DIRECTORY"
            )
        if self._directory.expires_at_ms < self._clock.now_ms():
            raise Retry(  # what comes meanwhile is held, not refused
                "the member directory has expired",
                cure="install its successor; ask the co-ordinating centre for it",
                code="LF-KEYS-DIRECTORY-EXPIRED",
            )
        return self._directory

    @property
    def known(self) -> Directory | None:
        """The directory that is pinned, even if its time is over; None before there is one."""
        return self._directory

    def directory_document(self) -> bytes:
        """Return the document of the directory that is pinned. Usage when there is none, Retry once it has expired."""
        self.directory()
        document = self._vault.pinned(_DIRECTORY)
        assert document is not None, "pinned before it was taken up"
        return document

    def bundle(self) -> Bundle:
        """Return the policy bundle. CannotOpen when there is none: without policy nothing is given out."""
        if self._bundle is None:
            raise CannotOpen("the key service has no policy bundle", code="LF-OPEN-NO-POLICY")
        return self._bundle

    def install_directory(self, document: bytes, check: Callable[[Directory], None] = lambda _: None) -> None:
        """Hold to this directory: the same again, or the present one's successor. DirectoryRefused otherwise.

        The present one's predecessor changes nothing: a node that died between our pin and its own offers it again.
        `check` may refuse a successor too.
        """
        held = self._directory
        if held is not None and body_digest(document) in {held.sha256, held.previous_sha256} - {b""}:
            return
        taken = Directory.load(document, pinned=held, now_ms=self._clock.now_ms())
        if held is not None:
            check(taken)
        self._vault.pin(_DIRECTORY, document)
        self._directory = taken

    def install_notice(self, document: bytes) -> None:
        """Hold to what an agency says of its keys: the same again, or a later notice. NoticeRefused otherwise."""
        directory = self.directory()
        if document in self._notices.values():
            return
        notice = key_notices.taken(document, directory, self._clock.now_ms())
        name = f"{_NOTICE}{notice.agency}"
        self._vault.pin(name, document)
        self._notices[name] = document
        self._directory = directory.with_notices({**directory.notices, notice.agency: notice})

    def notices(self) -> list[bytes]:
        """Return every notice that is held, as it came."""
        return list(self._notices.values())

    def notice(self, agency: str) -> bytes:
        """Return an agency's notice as it came; empty where there is none."""
        return self._notices.get(f"{_NOTICE}{agency}", b"")

    def install_policy(self, document: bytes) -> None:
        """Hold to this bundle: the same again, or the present one's successor. PolicyError otherwise."""
        held = self._policy
        digest = _bundle_digest(document)
        if held is not None and digest == held.previous_sha256 and digest:
            return
        if held is not None and digest == held.sha256 and self._bundle is not None:
            return
        self._install_new(document, None if held is not None and digest == held.sha256 else held)

    def _install_new(self, document: bytes, pinned: Pin | None) -> None:
        taken = Bundle.load(
            document, signer_keys=self.directory().registrar_keys(), pinned=pinned, now_ms=self._clock.now_ms()
        )
        self._vault.pin(_POLICY, document)
        self._bundle, self._policy = taken, _pin(document)

    def _take_up_bundle(self, document: bytes) -> None:
        """Hold to the bundle of before the restart. One that this release cannot read still stands against rollback."""
        self._policy = _pin(document)
        try:
            self._bundle = Bundle.held(document)
        except PolicyError:
            self._bundle = None


def _pin(document: bytes) -> _Pin:
    outer = federation_pb2.PolicyBundle.FromString(document)
    body = federation_pb2.PolicyBundleBody.FromString(outer.body)
    return _Pin(int(body.serial), sha256(outer.body).digest(), bytes(body.previous_sha256))


def _bundle_digest(document: bytes) -> bytes:
    try:
        return sha256(federation_pb2.PolicyBundle.FromString(document).body).digest()
    except DecodeError:
        return b""
