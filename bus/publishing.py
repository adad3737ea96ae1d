"""The centre's documents at a running node: an agency signs them, and the centre sends them to all.

A document comes into force here first, by the same rules as at everyone else's node; what does not hold here is not sent.
Publishing again sends nothing twice: who crashed between two steps does it once more.
"""

import base64
from typing import Any

from google.protobuf.message import DecodeError, Message

from bus import leaves, limits, questions
from bus.control import Operations
from bus.errors import Usage
from bus.outbound import Draft, Outbound, require_sent
from bus.parts import Actor, Parts, Statement
from bus.pinned import Pinned
from bus.sealing.batch import key_id
from schemas.v1 import federation_pb2

TYPES: dict[str, type[Message]] = {"directory": federation_pb2.Directory, "policy": federation_pb2.PolicyBundle}
_NOTHING = Statement("", "")


class Publishing:
    """Signs and publishes documents."""

    def __init__(self, parts: Parts, outbound: Outbound, pinned: Pinned) -> None:
        self._parts = parts
        self._outbound = outbound
        self._pinned = pinned

    def operations(self) -> Operations:
        """Return what may be asked over the control socket."""
        return {"document.sign": self._sign_asked, "document.publish": self._publish_asked}

    def _sign_asked(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, str]:
        signature = self.sign(arguments["kind"], base64.b64decode(arguments["body"]), actor)
        return {"signature": base64.b64encode(signature).decode()}

    def _publish_asked(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        serial, message_id = self.publish(arguments["kind"], base64.b64decode(arguments["document"]), actor)
        return {"serial": serial, "message_id": message_id}

    def sign(self, kind: str, body: bytes, actor: Actor) -> bytes:
        """Return this agency's signature under a document's body. Refused, on record, for whom policy does not let sign."""
        message = _kind(kind)()
        request = questions.policy_request(
            self._parts,
            questions.Ask(
                point="effect",
                action="sign",
                message_type=message.DESCRIPTOR.name,
                sender=self._parts.agency,
                statement=_NOTHING,
                actor=actor,
            ),
        )
        decision = self._parts.bundle.decide(request)
        if not decision.permitted:
            leaf = leaves.denial(
                self._parts,
                action="ADMIN",
                message_type=message.DESCRIPTOR.full_name,
                peers=(),
                actor=actor,
                statement=_NOTHING,
                decision=decision,
            )
        else:
            leaf = leaves.administered(self._parts, (kind.upper(), "SIGNED"), actor)
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            index = transaction.append(leaf)
        if not decision.permitted:
            questions.refuse(decision, index)
        public = self._parts.keys.public_keys()
        return federation_pb2.DocumentSignature(
            agency=public.agency,
            key_id=key_id(public.signing_key),
            signature=self._parts.keys.sign("directory" if kind == "directory" else "policy", body),
        ).SerializeToString(deterministic=True)

    def publish(self, kind: str, document: bytes, actor: Actor) -> tuple[int, str]:
        """Bring a document into force here and send it to every other member; return its serial and the message's id.

        Refused when it is not the proper successor, or when policy does not let this actor send it.
        """
        try:
            message = _kind(kind).FromString(document)
        except DecodeError:
            raise Usage(
                f"the bytes are no {kind}", cure="take what `lianfang document join` wrote", code="LF-DOCUMENT-FORM"
            ) from None
        serial = self._take(kind, document)
        others = tuple(
            name
            for name in self._parts.directory.agencies()
            if name != self._parts.agency and self._parts.directory.is_active(name)
        )
        parts = limits.in_parts(others)
        prints = self._parts.keys.fingerprint([b"document" + document + " ".join(part).encode() for part in parts])
        drafts = [Draft(message, part, "urgent", fingerprint=own) for part, own in zip(parts, prints, strict=True)]
        sent = [require_sent(outcome) for outcome in self._outbound.send(drafts, actor, _NOTHING)]
        return serial, sent[0].message_id.hex() if sent else ""

    def _take(self, kind: str, document: bytes) -> int:
        parts = self._parts
        if kind == "directory":
            self._pinned.take_directory(document)
            return parts.directory.serial
        if not parts.bundle.is_document(document):
            parts.bundle = self._pinned.take_bundle(document)
        return parts.bundle.serial


def _kind(kind: str) -> type[Message]:
    if kind not in TYPES:
        raise Usage(f"{kind} is no kind of document", cure="name directory or policy", code="LF-DOCUMENT-KIND")
    return TYPES[kind]
