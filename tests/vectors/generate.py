"""Makes seal.json, open.json and invalid.json: `python -m tests.vectors.generate`. The suite runs it and compares bytes.

All randomness is seeded but one: HPKE draws its ephemeral key inside the library. The wraps of the grant are therefore
read from seal.json where it exists (README.md), and everything else is made from there.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from bus.keyservice.sealer import Sealer
from bus.keyservice.signer import Signer
from bus.sealing import boxes
from bus.sealing.envelope import parse_header
from bus.sealing.errors import SealingError
from bus.sealing.verify import verify
from schemas.v1 import envelope_pb2, notice_pb2
from tests.keyservice.house import NOW_MS, House, SeededRandomness, build, notice, prekey_of, seal_request
from tests.sealing.attacker import change_envelope, change_header, resign, sealed_of

HERE = Path(__file__).parent
FILES = ("seal.json", "open.json", "invalid.json")


def pinned_wraps() -> dict[str, bytes]:
    """The HPKE outputs by recipient, from the vectors as they stand; none where there are no vectors yet."""
    path = HERE / "seal.json"
    if not path.exists():
        return {}
    return {name: bytes.fromhex(value) for name, value in json.loads(path.read_text())["hpke_wraps"].items()}


def seal_all(house: House, wraps: dict[str, bytes]) -> tuple[list[bytes], dict[str, bytes]]:
    """Seal a batch of three and one alone; return the envelopes and the wraps of their grant."""
    used: dict[str, bytes] = {}

    def wrap(keys: Any, recipient: str, prekey: bytes, body: bytes, _: Any) -> bytes:
        used[recipient] = wraps.get(recipient) or _WRAP(keys, recipient, prekey, body)
        return used[recipient]

    service = house.services["bank-a"]
    sealer = Sealer("bank-a", service._vault, Signer(service._signing), SeededRandomness("vectors"))
    with mock.patch.object(boxes, "wrap", wrap):
        batch = sealer.seal([seal_request(number, inline_grant=number == 1) for number in (1, 2, 3)], house.directory)
        plain = seal_request(5, recipients=("police-a",), compartments=(), body=b"", causation_id=b"c" * 16)
        return [
            *batch,
            *sealer.seal([seal_request(4, notice("6228489999"))], house.directory),
            *sealer.seal([plain], house.directory),
        ], used


_WRAP = boxes.wrap


def seal_vectors(house: House, envelopes: list[bytes], wraps: dict[str, bytes]) -> dict[str, Any]:
    """Inputs and outputs of sealing."""
    return {
        "agency": "bank-a",
        "randomness": 'SHA-256("vectors" || counter as 8 bytes), each draw starting a new block',
        "signing_key_public": house.services["bank-a"].public_keys().signing_key.hex(),
        "hpke_wraps": {name: value.hex() for name, value in sorted(wraps.items())},
        "directory": house.document.hex(),
        "prekeys_private": {name: prekey_of(house, name).private_bytes_raw().hex() for name in sorted(wraps)},
        "envelopes": [envelope.hex() for envelope in envelopes],
    }


def open_vectors(house: House, envelopes: list[bytes]) -> list[dict[str, Any]]:
    """What each envelope holds, with the class keys that open it."""
    made = []
    grant = parse_header(envelopes[0]).inline_grant
    for envelope in envelopes:
        parsed = parse_header(envelope)
        held = house.services["bank-a"]._grants.held(parsed.header.grant_id)
        place = boxes.Place(parsed.header_bytes, parsed.public_body, parsed.header.salt, parsed.header.sequence)
        made.append(
            {
                "envelope": envelope.hex(),
                "grant": grant.hex() if parsed.header.grant_id else "",
                "sequence": parsed.header.sequence,
                "payload_sha256": parsed.payload_sha256.hex(),
                "public_body": parsed.public_body.hex(),
                "boxes": [
                    {
                        "compartment": number,
                        "classes": list(held.classes[number]),
                        "class_key": held.keys[number].hex(),
                        "message_key": boxes.message_key(held.keys[number], number, place).hex(),
                        "plaintext": boxes.open_box(held.keys[number], number, place, ciphertext).hex(),
                    }
                    for number, ciphertext in (parsed.boxes if held is not None else ())
                ],
            }
        )
    return made


def _swap_boxes(sealed: envelope_pb2.Sealed) -> None:
    sealed.boxes[0].ciphertext, sealed.boxes[1].ciphertext = sealed.boxes[1].ciphertext, sealed.boxes[0].ciphertext


RESIGNED: dict[str, Callable[[envelope_pb2.Sealed], object]] = {
    "boxes of two compartments swapped": _swap_boxes,
    "a box left out": lambda sealed: sealed.boxes.pop(),
    "a box twice": lambda sealed: sealed.boxes.add().CopyFrom(sealed.boxes[-1]),
    "boxes out of order": lambda sealed: sealed.boxes.reverse(),
    "a tag truncated": lambda sealed: setattr(sealed.boxes[2], "ciphertext", sealed.boxes[2].ciphertext[:-1]),
    "a classed field in the public body": lambda sealed: setattr(
        sealed, "public_body", notice_pb2.SuspiciousAccountNotice(narrative="n").SerializeToString()
    ),
    "no boxes under a grant": lambda sealed: sealed.ClearField("boxes"),
    "an inline grant that does not parse": lambda sealed: setattr(sealed, "inline_grant", b"\xff"),
}
HEADERS: dict[str, Callable[[envelope_pb2.Header], object]] = {
    "salt altered": lambda header: setattr(header, "salt", bytes(16)),
    "salt short": lambda header: setattr(header, "salt", bytes(15)),
    "message id altered": lambda header: setattr(header, "message_id", b"m" * 16),
    "sequence altered": lambda header: setattr(header, "sequence", 9),
    "sequence zero": lambda header: header.ClearField("sequence"),
    "recipient removed": lambda header: header.recipients.remove("centre"),
    "recipients out of order": lambda header: header.recipients.reverse(),
    "policy serial altered": lambda header: setattr(header, "policy_serial", 2),
    "sent outside the grant's time": lambda header: setattr(header, "sent_at_ms", NOW_MS + 3_600_001),
    "type altered": lambda header: setattr(header, "type", "lianfang.v1.FreezeOrder"),
    "type by its short name": lambda header: setattr(header, "type", "SuspiciousAccountNotice"),
    "version 2": lambda header: setattr(header, "version", 2),
    "suite 2": lambda header: setattr(header, "suite", 2),
    "suite unknown": lambda header: setattr(header, "suite", 9),
    "lane unknown": lambda header: setattr(header, "lane", 7),
    "grant altered": lambda header: setattr(header, "grant_id", bytes(16)),
}
OUTER: dict[str, Callable[[envelope_pb2.Envelope], object]] = {
    "signature altered": lambda outer: setattr(outer, "signature", bytes(64)),
    "signature short": lambda outer: setattr(outer, "signature", bytes(63)),
    "another index": lambda outer: setattr(outer, "leaf_index", 1),
    "index outside the batch": lambda outer: setattr(outer, "leaf_index", 3),
    "another size": lambda outer: setattr(outer, "batch_size", 4),
    "proof short": lambda outer: setattr(outer, "proof", outer.proof[:-32]),
    "proof long": lambda outer: setattr(outer, "proof", outer.proof + bytes(32)),
    "batch too large": lambda outer: setattr(outer, "batch_size", 65537),
}
BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "truncated": lambda data: data[:-1],
    "unknown field": lambda data: data + b"\xfa\x01\x01x",
    "padded varint": lambda data: data + b"\x18\x80\x00",
    "default written out": lambda data: data + b"\x18\x00",
}


def invalid_envelopes(house: House, envelopes: list[bytes]) -> dict[str, bytes]:
    """Every attack that has a name here, as bytes. Where only signing anew makes it one, the sender has signed it."""
    made: dict[str, bytes] = {}
    for name, change in RESIGNED.items():
        sealed = sealed_of(envelopes[0])
        change(sealed)
        made[name] = resign(house, sealed)
    for name, alter in HEADERS.items():
        made[name] = resign(house, change_header(sealed_of(envelopes[0]), alter))
    for name, turn in OUTER.items():
        made[name] = change_envelope(envelopes[0], turn)
    for name, bend in BYTES.items():
        made[name] = bend(envelopes[0])
    donor = sealed_of(envelopes[1])
    moved = sealed_of(envelopes[0])
    moved.boxes[1].ciphertext = donor.boxes[1].ciphertext
    made["a box of another message"] = resign(house, moved)
    made["signed by another member"] = resign(house, sealed_of(envelopes[0]), agency="police-a")
    return made


def refusal(house: House, envelope: bytes) -> dict[str, str]:
    """How an envelope is refused by police-a: by its node, or by its key service."""
    try:
        parsed = verify(envelope, house.directory, NOW_MS)
        missing = house.services["police-a"].admit(parsed.payload)
    except SealingError as error:
        return {"error": type(error).__name__, "code": error.code}
    return {"error": "", "code": missing}


def generate() -> dict[str, str]:
    """Return the files' contents by name."""
    with tempfile.TemporaryDirectory() as place:
        house = build(Path(place))
        try:
            envelopes, wraps = seal_all(house, pinned_wraps())
            made: dict[str, Any] = {
                "seal.json": seal_vectors(house, envelopes, wraps),
                "open.json": open_vectors(house, envelopes),
                "invalid.json": [
                    {"name": name, "envelope": envelope.hex(), **refusal(house, envelope)}
                    for name, envelope in invalid_envelopes(house, envelopes).items()
                ],
            }
        finally:
            house.close()
    return {name: json.dumps(made[name], indent=1, ensure_ascii=False) + "\n" for name in FILES}


def main() -> None:
    for name, text in generate().items():
        (HERE / name).write_text(text, encoding="utf-8")
        print(f"wrote {name}", file=sys.stderr)


if __name__ == "__main__":
    main()
