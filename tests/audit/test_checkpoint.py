"""Notes, checkpoints and cosignatures: strict reading, and signatures against other people's vectors."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audit import checkpoint as notes
from audit.checkpoint import Verifier, cosign, cosignature_time_s, cosigned_by, sign_checkpoint, verify_checkpoint
from audit.errors import NoteRefused
from tests.audit.logs import AUDITOR, LOG, NOW_MS, SECOND, STRANGER, Signer

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors"
ROOT = bytes(range(32))
NOTE = sign_checkpoint(LOG.verifier.name, 5, ROOT, LOG.verifier, LOG.sign)
TEXT = NOTE[: NOTE.rindex(b"\n\n") + 1]
LINE = cosign(TEXT, AUDITOR.verifier, AUDITOR.sign, NOW_MS)


def signed(text: bytes, signer: Signer = LOG) -> bytes:
    return text + b"\n" + notes.signature_line(signer.verifier, signer.sign(text))


def vectors(name: str):
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"no vectors at ../shared/vectors/{name}")
    return json.loads(path.read_text())


def test_a_checkpoint_reads_back():
    """What was signed is what is read, and the note serialises to the same bytes."""
    checkpoint = verify_checkpoint(NOTE + LINE, LOG.verifier)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (LOG.verifier.name, 5, ROOT)
    assert checkpoint.text == TEXT
    assert cosignature_time_s(NOTE + LINE, AUDITOR.verifier) == NOW_MS // 1000
    assert notes.checkpoint_size(NOTE) == 5


@given(
    st.integers(min_value=0, max_value=2**63 - 1),
    st.binary(min_size=32, max_size=32),
    st.text(
        alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="+"), min_size=1, max_size=60
    ),
)
def test_any_checkpoint_reads_back(size, root, name):
    """Every size, root and name that may stand in a checkpoint survives the way out and in."""
    signer = Signer(name, 1)
    assert Verifier.parse(signer.verifier.text) == signer.verifier
    checkpoint = verify_checkpoint(sign_checkpoint(name, size, root, signer.verifier, signer.sign), signer.verifier)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (name, size, root)


@given(st.binary(max_size=300))
@example(NOTE + LINE)
@example(NOTE)
def test_what_parses_serialises_to_the_same_bytes(data):
    """A note is its text and its lines; nothing else parses as one."""
    try:
        text, lines = notes.split_note(data)
    except NoteRefused:
        return
    dash = "\u2014".encode()
    again = [dash + f" {name} ".encode() + base64.b64encode(key_id + body) + b"\n" for name, key_id, body in lines]
    assert text + b"\n" + b"".join(again) == data


@given(st.integers(min_value=0, max_value=len(NOTE + LINE) * 8 - 1))
def test_no_bit_of_a_cosigned_checkpoint_can_be_flipped(bit):
    """Any flipped bit costs the log's signature or the witness's."""
    data = bytearray(NOTE + LINE)
    data[bit // 8] ^= 1 << bit % 8
    try:
        verify_checkpoint(bytes(data), LOG.verifier)
    except NoteRefused:
        return
    assert cosigned_by(bytes(data), [AUDITOR.verifier]) == ()


BAD = {
    "empty": b"",
    "no final newline": NOTE[:-1],
    "no signature": TEXT,
    "no blank line": NOTE.replace(b"\n\n", b"\n"),
    "leading zero": signed(TEXT.replace(b"\n5\n", b"\n05\n")),
    "negative": signed(TEXT.replace(b"\n5\n", b"\n-5\n")),
    "arabic digit": signed(TEXT.replace(b"\n5\n", "\n٥\n".encode())),
    "too large": signed(TEXT.replace(b"\n5\n", b"\n9223372036854775808\n")),
    "no number": signed(TEXT.replace(b"\n5\n", b"\n\n5\n")),
    "short root": signed(TEXT.replace(base64.b64encode(ROOT), base64.b64encode(ROOT[:31]))),
    "unpadded root": signed(TEXT.replace(b"Hh8=", b"Hh8")),
    "root with spare bits": signed(TEXT.replace(b"Hh8=", b"Hh9=")),
    "extension line": signed(TEXT + b"extra\n"),
    "control character": signed(TEXT.replace(b"\n5\n", b"\n5\r\n")),
    "not utf-8": signed(b"\xff" + TEXT),
    "line without dash": NOTE + LINE[4:],
    "trailing text": NOTE + b"x\n",
    "short signature": NOTE + "\u2014 x AAAA\n".encode(),
    "over 64 KiB": NOTE + LINE * 600,
    "another origin": signed(TEXT.replace(b"bank-a", b"bank-b")),
    "another key": signed(TEXT, Signer(LOG.verifier.name, 1, "another")),
    "a witness's signature only": TEXT + b"\n" + LINE,
    "a good and a bad signature of the log": NOTE + notes.signature_line(LOG.verifier, bytes(64)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_checkpoints_are_refused(name):
    """Each deviation from form, name or key is refused, signed or not."""
    with pytest.raises(NoteRefused) as refused:
        verify_checkpoint(BAD[name], LOG.verifier)
    assert refused.value.cure


def test_keys_of_another_kind_do_not_count():
    """A log's key is no witness and a witness's is no log, even where the signature is right."""
    as_witness = Verifier(LOG.verifier.name, 4, LOG.verifier.public_key)
    with pytest.raises(NoteRefused):
        verify_checkpoint(signed(TEXT, LOG), as_witness)
    as_log = Verifier(AUDITOR.verifier.name, 1, AUDITOR.verifier.public_key)
    assert cosignature_time_s(NOTE + cosign(TEXT, as_log, AUDITOR.sign, NOW_MS), as_log) is None


def test_cosignatures_are_counted_by_key():
    """Only those whose line verifies are named, and one bad line spoils its witness."""
    second = cosign(TEXT, SECOND.verifier, SECOND.sign, NOW_MS + 5000)
    both = [AUDITOR.verifier, SECOND.verifier]
    assert cosigned_by(NOTE + LINE, both) == (AUDITOR.verifier.name,)
    assert cosigned_by(NOTE + LINE + second, both) == (AUDITOR.verifier.name, SECOND.verifier.name)
    assert cosigned_by(NOTE + LINE, [STRANGER.verifier]) == ()
    assert cosigned_by(NOTE + LINE + notes.signature_line(AUDITOR.verifier, bytes(72)), both) == ()
    later = cosign(TEXT, AUDITOR.verifier, AUDITOR.sign, NOW_MS + 5000)
    assert cosignature_time_s(NOTE + later + LINE, AUDITOR.verifier) == NOW_MS // 1000


def test_a_cosignature_is_one_line_and_nothing_besides():
    """A witness cannot bring a second line, such as a false one of the log, in under its own."""
    assert notes.is_cosignature(NOTE, LINE, AUDITOR.verifier)
    assert not notes.is_cosignature(NOTE, LINE + notes.signature_line(LOG.verifier, bytes(64)), AUDITOR.verifier)
    assert not notes.is_cosignature(NOTE, notes.signature_line(LOG.verifier, bytes(64)), AUDITOR.verifier)
    assert not notes.is_cosignature(NOTE, b"", AUDITOR.verifier)
    assert not notes.is_cosignature(NOTE, LINE[:-1], AUDITOR.verifier)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AAAA",
        LOG.verifier.text.replace("bank-a", "bank-b"),
        LOG.verifier.text[:-4],
        "a b" + Verifier("a b", 1, bytes(32)).text[3:],
        Verifier("a\u00a0b", 1, bytes(32)).text,
        Verifier("", 1, bytes(32)).text,
        Verifier("short", 1, bytes(31)).text,
    ],
)
def test_malformed_keys_are_refused(text):
    """A key whose id does not fit, or with a name that could pass for another, is refused."""
    with pytest.raises(NoteRefused):
        Verifier.parse(text)


def test_wycheproof_signatures():
    """Every Ed25519 case of Wycheproof is decided as it says."""
    for group in vectors("wycheproof/ed25519_test.json")["testGroups"]:
        verifier = Verifier("wycheproof", 1, bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            held = verifier.verify(bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert held == (case["result"] == "valid"), case["comment"]


def test_cctv_corner_cases():
    """Small-order keys, small-order R and non-canonical encodings of either are refused, all 914 cases considered."""
    refused = {"low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R", "low_order_residue"}
    cases = vectors("cctv/ed25519/ed25519vectors.json")
    for case in cases:
        verifier = Verifier("cctv", 1, bytes.fromhex(case["key"]))
        held = verifier.verify(case["msg"].encode(), bytes.fromhex(case["sig"]))
        assert held == (not refused & set(case["flags"] or ())), case


def test_speccheck_edge_cases():
    """Of the twelve cases of ed25519-speccheck, those with small-order points or an S too large are refused."""
    cases = vectors("ed25519/speccheck_cases.json")
    held = [
        Verifier("speccheck", 1, bytes.fromhex(case["pub_key"])).verify(
            bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])
        )
        for case in cases
    ]
    assert held[3] is True
    assert not any(held[number] for number in (0, 1, 2, 6, 7, 8, 9, 10, 11))
