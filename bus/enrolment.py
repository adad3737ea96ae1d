"""How an agency comes to take part: keys are made, made known, and the first directory and policy are laid in.

(1) `init_node` makes a node's directory, its keys and node.toml, and returns what the agency makes known of itself
(2) the centre puts the members together (`directory_body`) and two different agencies sign (`sign`, `put_together`)
(3) `enrol` lays the signed directory and policy bundle into each node; from then on only proper successors replace them

No private key leaves the node in any of these steps.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from google.protobuf.message import DecodeError

from bus.clock import Clock, SystemClock
from bus.config import AGENCY_PATTERN, NodeConfig, load
from bus.directory import Directory, DirectoryRefused
from bus.directory_author import BY_TYPE, following
from bus.directory_author import Registrars as Registrars  # noqa: PLC0414 - part of how a federation is made
from bus.directory_author import directory_body as directory_body  # noqa: PLC0414 - likewise
from bus.directory_rules import quorum as quorum_of
from bus.directory_rules import registrars as named_registrars
from bus.errors import Usage
from bus.keyservice import providers
from bus.keyservice.protocol import Keys, PublicKeys
from bus.keyservice.service import KeyService
from bus.policy.author import build_body
from bus.policy.bundle import Bundle
from bus.policy.errors import PolicyError
from bus.randomness import Randomness, SystemRandomness
from bus.sealing.batch import key_id
from schemas.v1 import federation_pb2

Body = federation_pb2.DirectoryBody | federation_pb2.PolicyBundleBody
MEMBER_FILE = "member.json"
_OF_OTHER_SUITES = ("signing_key_ml_dsa_65", "signing_key_sm2", "prekey_x_wing")
DOCUMENTS = {"directory": "directory.bin", "policy": "policy.bin"}
_DAY_MS = 86_400_000
SIGNING_KEY_LIFETIME_MS = 800 * _DAY_MS


def init_node(directory: Path, agency: str, toml: str, clock: Clock, randomness: Randomness) -> PublicKeys:
    """Make a node's directory, keys and configuration; write and return what the agency makes known.

    `toml` is the text of node.toml; it must name the same agency. Usage when there is a node already or the text is wrong.
    """
    if (directory / "keys").exists() or (directory / "node.toml").exists():
        raise Usage(
            f"there is a node in {directory} already",
            cure="choose another directory; keys are never overwritten",
            code="LF-NODE-EXISTS",
        )
    if not re.fullmatch(AGENCY_PATTERN.removesuffix(r"\z"), agency):  # pydantic's own end mark; fullmatch needs none
        raise Usage(
            "that is no name of an agency",
            cure="small letters, digits and hyphens, beginning with a letter, for example bank-a",
            code="LF-NODE-NAME",
        )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    path = directory / "node.toml"
    path.write_text(toml, encoding="utf-8")
    try:
        config = _require_agency(directory, agency)
        guard = providers.make(config.keys, directory, randomness)
        KeyService.create(config.keys.vault(directory), agency, clock, randomness, guard)
    except Exception:
        path.unlink()  # nothing half-done is left
        raise
    keys = KeyService(config.keys.vault(directory), clock, randomness, lambda _: None, guards=(guard,))
    public = keys.public_keys()
    keys.close()
    text = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(public).items()}
    (directory / MEMBER_FILE).write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    return public


def _require_agency(directory: Path, agency: str) -> NodeConfig:
    config, _ = load(directory, {})
    if config.agency != agency:
        raise Usage(
            f"node.toml names {config.agency}, not {agency}", cure="give both the same name", code="LF-NODE-OTHER-NAME"
        )
    return config


def open_keys(directory: Path, clock: Clock, randomness: Randomness) -> KeyService:
    """Open a node's keys in this process, to sign a document. It opens no message: it reads no log."""
    config, _ = load(directory)
    guards = providers.make_all(config.keys, directory, randomness)
    return KeyService(config.keys.vault(directory), clock, randomness, lambda _: None, guards=guards)


def read_member(path: Path) -> PublicKeys:
    """Read what an agency made known. Usage when the file is not that."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return PublicKeys(
            agency=values["agency"],
            signing_key=bytes.fromhex(values["signing_key"]),
            prekey=bytes.fromhex(values["prekey"]),
            prekey_not_before_ms=int(values["prekey_not_before_ms"]),
            prekey_not_after_ms=int(values["prekey_not_after_ms"]),
            prekey_signature=bytes.fromhex(values["prekey_signature"]),
            log_vkey=values["log_vkey"],
            witness_vkey=values["witness_vkey"],
            **{name: bytes.fromhex(values.get(name, "")) for name in _OF_OTHER_SUITES},
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise Usage(
            f"{path.name} is no member file",
            cure=f"take the {MEMBER_FILE} that `lianfang node init` wrote",
            code="LF-ENROL-MEMBER",
        ) from None


def member(public: PublicKeys, agency_type: str, name: str = "") -> federation_pb2.Member:
    """Return an agency's entry in the directory. Usage for an unknown type."""
    try:
        type_number = federation_pb2.AgencyType.Value(f"AGENCY_TYPE_{agency_type.upper()}")
    except ValueError:
        known = ", ".join(key.removeprefix("AGENCY_TYPE_").lower() for key in federation_pb2.AgencyType.keys()[1:])
        raise Usage(f"{agency_type} is no type of agency", cure=f"use one of {known}", code="LF-ENROL-TYPE") from None
    begins = public.prekey_not_before_ms
    return federation_pb2.Member(
        agency=public.agency,
        type=type_number,
        name=name or public.agency,
        status=federation_pb2.MEMBER_STATUS_ACTIVE,
        signing_keys=[
            federation_pb2.SigningKey(
                key_id=key_id(public.signing_key),
                public_key=public.signing_key,
                not_before_ms=begins,
                not_after_ms=begins + SIGNING_KEY_LIFETIME_MS,
                ml_dsa_65=public.signing_key_ml_dsa_65,
                sm2=public.signing_key_sm2,
            )
        ],
        prekeys=[
            federation_pb2.Prekey(
                key_id=key_id(public.prekey),
                public_key=public.prekey,
                not_before_ms=begins,
                not_after_ms=public.prekey_not_after_ms,
                signature=public.prekey_signature,
                x_wing=public.prekey_x_wing,
            )
        ],
        log_vkey=public.log_vkey,
        witness_vkey=public.witness_vkey,
    )


def read_entry(path: Path) -> federation_pb2.Member:
    """Read a member's own entry for the next directory, with its consent. Usage when the file is not that."""
    data = path.read_bytes()
    try:
        held = federation_pb2.Member.FromString(data)
    except DecodeError:
        held = federation_pb2.Member()
    if not (held.agency and held.consent) or held.SerializeToString(deterministic=True) != data:
        raise Usage(
            f"{path.name} is no member's entry",
            cure="take what `lianfang keys rotate identity --out` wrote",
            code="LF-DOCUMENT-FORM",
        )
    return held


def sign(keys: Keys, kind: Literal["directory", "policy"], body: bytes) -> federation_pb2.DocumentSignature:
    """Sign a document's body as one agency."""
    public = keys.public_keys()
    return federation_pb2.DocumentSignature(
        agency=public.agency, key_id=key_id(public.signing_key), signature=keys.sign(kind, body)
    )


def put_together(
    kind: Literal["directory", "policy"], body: bytes, signatures: Sequence[federation_pb2.DocumentSignature]
) -> bytes:
    """Return a document: the body and the signatures under it."""
    outer = federation_pb2.Directory if kind == "directory" else federation_pb2.PolicyBundle
    return outer(body=body, signatures=signatures).SerializeToString(deterministic=True)


def next_directory(
    previous: bytes,
    new: Sequence[federation_pb2.Member],
    suspend: Sequence[str],
    now_ms: int,
    registrars: Registrars = BY_TYPE,
) -> bytes:
    """Return the body of the directory that follows a document (empty: of the first), with new and suspended members.

    Registrars are those of the one before, where none are named.
    """
    if not previous and not new:
        raise Usage("the directory has no member", cure="name some with --member TYPE=FILE", code="LF-DOCUMENT-EMPTY")
    if not previous:
        return directory_body(new, 1, b"", now_ms, registrars)
    old, digest = _in_force("directory", previous)
    assert isinstance(old, federation_pb2.DirectoryBody)
    members = {member.agency: member for member in old.members}
    for name in suspend:
        if name not in members:
            raise Usage(f"{name} is no member", cure=f"members: {', '.join(members)}", code="LF-DOCUMENT-MEMBER")
        members[name].status = federation_pb2.MEMBER_STATUS_SUSPENDED
    members |= {member.agency: following(members.get(member.agency), member, now_ms) for member in new}
    kept = Registrars(tuple(sorted(named_registrars(old))), quorum_of(old))
    return directory_body(
        members.values(), int(old.serial) + 1, digest, now_ms, registrars if registrars.agencies else kept
    )


def next_policy(previous: bytes, rows: Path, not_before_ms: int, not_after_ms: int) -> bytes:
    """Return the body of the bundle that follows a document (empty: of the first). Usage when its rows do not load."""
    serial, digest = 1, b""
    if previous:
        old, digest = _in_force("policy", previous)
        serial = int(old.serial) + 1
    try:
        return build_body(rows, serial, digest, not_before_ms, not_after_ms)
    except PolicyError as error:
        raise Usage(error.cause, cure=error.cure, code=error.code) from error


def _in_force(kind: str, document: bytes) -> tuple[Body, bytes]:
    """Return a document's body and its SHA-256. Usage for anything else: a body alone would be followed as if it were none."""
    outer_type = federation_pb2.Directory if kind == "directory" else federation_pb2.PolicyBundle
    try:
        outer = outer_type.FromString(document)
    except DecodeError:
        outer = outer_type()
    if not (outer.body and outer.signatures):
        raise Usage(
            f"the file is no {kind} that agencies have signed",
            cure="take what `lianfang document join` wrote",
            code="LF-DOCUMENT-FORM",
        )
    return read_body(kind, outer.body), sha256(outer.body).digest()


def sign_offline(directory: Path, kind: str, body: bytes) -> bytes:
    """Sign a body with the keys in a directory whose node does not run, as their owner; return the signature's bytes."""
    keys = open_keys(directory, SystemClock(), SystemRandomness())
    try:
        return sign(keys, "directory" if kind == "directory" else "policy", body).SerializeToString(deterministic=True)
    finally:
        keys.close()


def read_signature(path: Path) -> federation_pb2.DocumentSignature:
    """Read a signature file. Usage when it is none."""
    try:
        held = federation_pb2.DocumentSignature.FromString(path.read_bytes())
    except DecodeError:
        held = federation_pb2.DocumentSignature()
    if not (held.agency and held.key_id and held.signature):
        raise Usage(
            f"{path.name} is no signature", cure="take what `lianfang document sign` wrote", code="LF-DOCUMENT-FORM"
        )
    return held


def read_body(kind: str, body: bytes) -> Body:
    """Read a body strictly: what is signed is what was read. Usage when it is not of that kind."""
    made: type[Body] = federation_pb2.DirectoryBody if kind == "directory" else federation_pb2.PolicyBundleBody
    try:
        held = made.FromString(body)
    except DecodeError:
        held = made()
    if not held.serial or held.SerializeToString(deterministic=True) != body:
        raise Usage(
            f"the file is no {kind} body", cure="take what `lianfang document draft-…` wrote", code="LF-DOCUMENT-FORM"
        )
    return held


def described(kind: str, data: bytes) -> dict[str, Any]:
    """Say what stands in a body or in a document of that kind."""
    outer_type = federation_pb2.Directory if kind == "directory" else federation_pb2.PolicyBundle
    body, signers = data, []
    try:
        outer = outer_type.FromString(data)
        if outer.body and outer.signatures and outer.SerializeToString(deterministic=True) == data:
            body, signers = outer.body, [item.agency for item in outer.signatures]
    except DecodeError:
        pass
    held = read_body(kind, body)
    found = {"kind": kind, "serial": int(held.serial), "sha256": sha256(body).hexdigest(), "signers": signers}
    if isinstance(held, federation_pb2.DirectoryBody):
        members = [_listed(item) for item in held.members]
        signers_next = {"registrars": sorted(named_registrars(held)), "quorum": quorum_of(held)}
        return found | {"until_ms": int(held.expires_at_ms), "members": members, "files": []} | signers_next
    return found | {"until_ms": int(held.not_after_ms), "members": [], "files": [item.name for item in held.files]}


def _listed(member: federation_pb2.Member) -> dict[str, str]:
    return {
        "agency": member.agency,
        "type": federation_pb2.AgencyType.Name(member.type).removeprefix("AGENCY_TYPE_").lower(),
        "status": federation_pb2.MemberStatus.Name(member.status).removeprefix("MEMBER_STATUS_").lower(),
        "signing_key": " ".join(key.public_key.hex() for key in member.signing_keys if not key.revoked),
    }


def enrol(directory: Path, directory_document: bytes, policy_document: bytes, clock: Clock) -> NodeConfig:
    """Lay the first directory and policy bundle into a node. Usage when one does not hold, or the node is in force.

    Both are checked as the node will check them, so that nothing is laid in that would keep it from starting.
    """
    config, _ = load(directory)
    if (directory / DOCUMENTS["directory"]).exists():
        raise Usage(
            "this node is enrolled already",
            cure="successors come over the bus; to enrol anew make a new node",
            code="LF-ENROL-TWICE",
        )
    try:
        members = Directory.load(directory_document, pinned=None, now_ms=clock.now_ms())
        Bundle.load(policy_document, signer_keys=members.registrar_keys(), pinned=None, now_ms=clock.now_ms())
    except (DirectoryRefused, PolicyError) as error:
        raise Usage(error.cause, cure=error.cure, code=error.code) from error
    _require_own_keys(directory, config, members)
    (directory / DOCUMENTS["directory"]).write_bytes(directory_document)
    (directory / DOCUMENTS["policy"]).write_bytes(policy_document)
    return config


def _require_own_keys(directory: Path, config: NodeConfig, members: Directory) -> None:
    """A directory that gives this agency other keys than its own is the very attack it is there to stop."""
    own = read_member(directory / MEMBER_FILE)
    if config.agency not in members.agencies():
        raise Usage(f"{config.agency} is not in the directory", cure="have it added", code="LF-ENROL-NOT-MEMBER")
    listed = members.member(config.agency)
    if (
        # Keys of the other suites too: a directory without them would make everybody use a weaker one.
        [(key.public_key, key.ml_dsa_65, key.sm2) for key in listed.signing_keys if not key.revoked]
        != [(own.signing_key, own.signing_key_ml_dsa_65, own.signing_key_sm2)]
        or [(key.public_key, key.x_wing) for key in listed.prekeys] != [(own.prekey, own.prekey_x_wing)]
        or (listed.log_vkey, listed.witness_vkey) != (own.log_vkey, own.witness_vkey)
    ):
        raise Usage(
            f"the directory gives other keys for {config.agency} than this node has",
            cure="do not enrol with it; ask the centre and the second signer how those keys came in",
            code="LF-ENROL-OTHER-KEYS",
        )
