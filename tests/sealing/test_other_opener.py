"""A second opener, in another language (other/opener.mjs), reads what we seal and refuses what we refuse.

So the format is what its description says, and not whatever our own code does.
"""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bus.directory import Directory
from schemas.v1 import envelope_pb2
from tests.foreign_tools import node_js
from tests.keyservice.house import NOW_MS
from tests.vectors import generate

OPENER = Path(__file__).parent / "other" / "opener.mjs"
SEAL, OPEN, INVALID = (json.loads((generate.HERE / name).read_text()) for name in generate.FILES)
# What these get wrong is within the body's own type: where a field stands in the shared language is not the format's to say.
_OF_THE_BODY = {"a classed field in the public body", "type by its short name"}


def _signers() -> dict[str, dict[str, str]]:
    directory = Directory.load(bytes.fromhex(SEAL["directory"]), pinned=None, now_ms=NOW_MS)
    return {
        name: {key_id.hex(): key.hex() for key_id, key in keys.items()}
        for name, keys in directory.document_keys().items()
    }


def _question(envelope: bytes, recipient: str = "police-a") -> dict[str, Any]:
    return {
        "envelope": envelope.hex(),
        "recipient": recipient,
        "private_key": SEAL["prekeys_private"][recipient],
        "signers": _signers(),
        "grants": [OPEN[0]["grant"]],
    }


def _answers(questions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps(item) + "\n" for item in questions)
    run = subprocess.run([node_js(), OPENER], input=lines, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.mark.parametrize("recipient", sorted(SEAL["prekeys_private"]))
def test_it_opens_what_we_sealed_and_no_more_than_is_granted(recipient: str) -> None:
    """From the wire and its own private key alone, each recipient gets the recorded plaintext of its compartments."""
    grant = envelope_pb2.GrantBody.FromString(envelope_pb2.Grant.FromString(bytes.fromhex(OPEN[0]["grant"])).body)
    granted = {item.compartment for item in grant.compartments if recipient in item.audience}
    answers = _answers(_question(bytes.fromhex(item["envelope"]), recipient) for item in OPEN[:4])
    for answer, vector in zip(answers, OPEN[:4], strict=True):
        recorded = {str(box["compartment"]): box["plaintext"] for box in vector["boxes"]}
        assert answer["boxes"] == {number: text for number, text in recorded.items() if int(number) in granted}
        assert {int(number) for number in recorded} - granted == set(answer["withheld"])
        assert answer["public_body"] == vector["public_body"]


def test_it_reads_a_message_with_nothing_sealed() -> None:
    """Signature and form are all there is to it."""
    vector = OPEN[4]
    assert _answers([_question(bytes.fromhex(vector["envelope"]))])[0] == {
        "boxes": {},
        "withheld": [],
        "public_body": vector["public_body"],
    }


def test_it_refuses_every_invalid_vector() -> None:
    """All that ours refuses, but for what only the schema of the body can tell."""
    attacks = [item for item in INVALID if item["name"] not in _OF_THE_BODY]
    assert len(attacks) + len(_OF_THE_BODY) == len(INVALID)
    answers = _answers(_question(bytes.fromhex(item["envelope"])) for item in attacks)
    assert [item["name"] for item, answer in zip(attacks, answers, strict=True) if "refused" not in answer] == []


@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.soak)])
def test_it_refuses_every_flipped_bit(step: int) -> None:
    """No single bit of an envelope can be other than it was signed: each thirteenth here, each one in the soak."""
    whole = bytes.fromhex(OPEN[1]["envelope"])
    places = range(0, len(whole) * 8, step)
    flipped = (whole[: at >> 3] + bytes([whole[at >> 3] ^ 1 << (at & 7)]) + whole[(at >> 3) + 1 :] for at in places)
    answers = _answers(_question(item) for item in flipped)
    assert len(answers) == len(places)
    assert [at for at, answer in zip(places, answers, strict=True) if "refused" not in answer] == []
