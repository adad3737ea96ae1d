"""The member directory and the policy bundle a node holds to: pinned, replaced only by their proper successors.

The first ones are laid into the node's directory when it is enrolled (directory.bin, policy.bin) and pinned on first
start; from then on only the successor rules of bus/directory.py and bus/policy/bundle.py let another in, whoever sends it.
"""

import threading
from pathlib import Path

from google.protobuf.message import DecodeError
from sqlalchemy import select
from sqlalchemy.engine import Connection, Engine

from bus import key_notices, leaves, store
from bus.clock import Clock
from bus.directory import Directory, DirectoryRefused, body_digest
from bus.errors import Refused, Retry, Usage
from bus.keyservice.protocol import Keys
from bus.parts import Parts
from bus.policy.bundle import Bundle
from bus.policy.errors import PolicyError
from schemas.v1 import federation_pb2

_DIRECTORY, _POLICY = "directory", "policy"


class Pinned:
    """Keeps the pinned documents."""

    def __init__(self, engine: Engine, directory: Path, keys: Keys, clock: Clock) -> None:
        self._engine = engine
        self._directory = directory
        self._keys = keys
        self._clock = clock
        self.parts: Parts | None = None
        self._changing = (
            threading.Lock()
        )  # a directory and notices come by several threads, and each adds to what is there

    def load_directory(self) -> Directory:
        """Return the pinned directory with what agencies said of their keys since; pin the enrolled one on first start.

        Usage when there is none that holds. One whose time is over is returned: its registrars sign the next.
        """
        held, now = self._read(_DIRECTORY), self._clock.now_ms()
        document = held or self._enrolled("directory.bin")
        try:
            # What was pinned was let in by its predecessor's keys; it may itself have revoked those that signed it. The key
            # service, which has pinned it too, sees to it that nobody has laid another in.
            directory = Directory.pinned(document) if held else Directory.load(document, pinned=None, now_ms=now)
            with self._engine.begin() as connection:
                _write(connection, _DIRECTORY, document)
            self._keys.install_directory(document)
        except DirectoryRefused as error:
            raise Usage(error.cause, cure=error.cure, code=error.code) from error
        said = (key_notices.remembered(notice) for notice in self._keys.notices())
        return directory.with_notices({notice.agency: notice for notice in said})

    def load_bundle(self, directory: Directory) -> Bundle:
        """Return the pinned bundle; pin the enrolled one on first start. A node without a valid bundle does not start."""
        held = self._read(_POLICY)
        document = held or self._enrolled("policy.bin")
        signer_keys = directory.document_keys_ever() if held else directory.registrar_keys()
        try:
            bundle = Bundle.load(document, signer_keys=signer_keys, pinned=None, now_ms=self._clock.now_ms())
            with self._engine.begin() as connection:
                _write(connection, _POLICY, document)
            self._keys.install_policy(document)
        except PolicyError as error:
            raise Usage(error.cause, cure=error.cure, code=error.code) from error
        return bundle

    def take_directory(self, document: bytes) -> None:
        """Replace the directory by its successor; the same again changes nothing. Refused, on record, when it is none."""
        with self._changing:
            self._take_directory(document)

    def _take_directory(self, document: bytes) -> None:
        assert self.parts is not None
        if self.parts.directory.is_document(document):
            return
        try:
            directory = Directory.load(document, pinned=self.parts.directory, now_ms=self._clock.now_ms())
            self._keys.install_directory(document)
        except DirectoryRefused as error:
            _wait_for_predecessor(_directory_serial(document), self.parts.directory.serial)
            self._record("DIRECTORY", error.code, body_digest(document))
            raise Refused(error.cause, cure=error.cure, code=error.code) from error
        self._bring_in(_DIRECTORY, document, f"SERIAL-{directory.serial}", directory.sha256)
        self.parts.directory = directory

    def take_notice(self, document: bytes) -> None:
        """Take what an agency says of its own keys. Refused, on record, when it does not hold.

        One that was overtaken, or came before, changes nothing.
        """
        with self._changing:
            self._take_notice(document)

    def _take_notice(self, document: bytes) -> None:
        assert self.parts is not None
        directory = self.parts.directory
        try:
            self._keys.install_notice(document)
            notice = key_notices.remembered(document)
        except key_notices.NoticeOlder:
            return
        except DirectoryRefused as error:
            self._record("NOTICE", error.code, key_notices.digest(document))
            raise Refused(error.cause, cure=error.cure, code=error.code) from error
        before = directory.notices.get(notice.agency)
        if before == notice:
            return
        revoked = sorted(notice.revoked - (before.revoked if before is not None else frozenset()))
        codes = [f"KID-{item.hex().upper()}" for item in revoked or [bytes(key.key_id) for key in notice.prekeys]]
        kind = "REVOKE" if revoked else "KEY"
        with self.parts.log.transaction(self.parts.append_deadline_s) as transaction:
            transaction.append(
                leaves.keys_changed(self.parts, kind, notice.agency, codes[:16], digest=key_notices.digest(document))
            )
        self.parts.directory = directory.with_notices({**directory.notices, notice.agency: notice})

    def take_bundle(self, document: bytes) -> Bundle:
        """Replace the policy bundle by its successor. Refused, on record, when it is none."""
        assert self.parts is not None
        try:
            bundle = Bundle.load(
                document,
                signer_keys=self.parts.directory.registrar_keys(),
                pinned=self.parts.bundle,
                now_ms=self._clock.now_ms(),
            )
        except PolicyError as error:
            _wait_for_predecessor(_bundle_serial(document), self.parts.bundle.serial)
            self._record("POLICY", error.code)
            raise Refused(error.cause, cure=error.cure, code=error.code) from error
        self._keys.install_policy(document)
        self._bring_in(_POLICY, document, f"SERIAL-{bundle.serial}", bundle.sha256)
        return bundle

    def _record(self, what: str, code: str, digest: bytes = b"") -> None:
        assert self.parts is not None
        with self.parts.log.transaction(self.parts.append_deadline_s) as transaction:
            transaction.append(leaves.administered(self.parts, (what, code), digest=digest))

    def _bring_in(self, name: str, document: bytes, code: str, digest: bytes) -> None:
        """Keep a document and the entry that says so, both or neither."""
        assert self.parts is not None
        with self.parts.log.transaction(self.parts.append_deadline_s) as transaction:
            _write(transaction.connection, name, document)
            transaction.append(leaves.administered(self.parts, (name.upper(), code), digest=digest))

    def _enrolled(self, name: str) -> bytes:
        try:
            return (self._directory / name).read_bytes()
        except FileNotFoundError:
            raise Usage(
                f"this node has no {name}: it is not enrolled yet",
                cure="enrol it with `lianfang node enrol`; the co-ordinating centre gives the documents",
                code="LF-NODE-NOT-ENROLLED",
            ) from None

    def _read(self, name: str) -> bytes | None:
        with self._engine.connect() as connection:
            row = connection.execute(select(store.state.c.value).where(store.state.c.name == name)).first()
        return None if row is None else bytes(row.value)


def _write(connection: Connection, name: str, document: bytes) -> None:
    known = connection.execute(select(store.state.c.name).where(store.state.c.name == name)).first()
    if known is None:
        connection.execute(store.state.insert(), {"name": name, "value": document})
    else:
        connection.execute(store.state.update().where(store.state.c.name == name).values(value=document))


def _wait_for_predecessor(serial: int, pinned: int) -> None:
    """Raise Retry for a document that is further on than the next one: whoever carries them may have changed their order."""
    if serial > pinned + 1:
        raise Retry(
            f"serial {serial} has come, and {pinned + 1} before it has not",
            cure="nothing to do while it is on its way; else ask the co-ordinating centre for it",
            code="LF-PINNED-AHEAD",
        )


def _directory_serial(document: bytes) -> int:
    """Return the serial that a directory names, believed by nobody; 0 for what is none."""
    try:
        outer = federation_pb2.Directory.FromString(document)
        return int(federation_pb2.DirectoryBody.FromString(outer.body).serial)
    except DecodeError:
        return 0


def _bundle_serial(document: bytes) -> int:
    """Return the serial that a bundle names, believed by nobody; 0 for what is none."""
    try:
        outer = federation_pb2.PolicyBundle.FromString(document)
        return int(federation_pb2.PolicyBundleBody.FromString(outer.body).serial)
    except DecodeError:
        return 0
