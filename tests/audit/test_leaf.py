"""The entry format: final bytes, and nothing in it that could hold a name or a number of a person."""

import json

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from audit import leaf as leaf_format
from audit import tree
from audit.errors import LeafRefused
from audit.v1 import leaf_pb2
from tests.audit import make_golden
from tests.audit.logs import entry

GOLDEN = json.loads((make_golden.GOLDEN / "leaves.json").read_bytes())
TEXTS = {
    "message_type": "lianfang.v1.StopPaymentOrder",
    "agency": "bank-a",
    "peers": "payment-100012345678",
    "actor_roles": "freeze_operator",
    "system": "svc-police-system",
    "classes_requested": "CASE_META",
    "classes_released": "DEVICE_NET",
    "purpose": "stop_payment",
    "legal_basis": "ATF20",
    "rule_ids": "OP-02",
    "reason_codes": "LF-OPEN-NO-SUCH-CLASS",
    "missing": "OP-02:a-case-filed-in-the-own-register",
}
LEAKS = (
    "张伟",
    "Zhang Wei",
    "zhang wei",
    "13800138000",
    "+8613800138000",
    "6222021234567890123",
    "11010119900307123X",
    "110101-19900307-123X",
    "a@example.org",
    "Account of Mr Li",
    "x\n",
    "x" * 200,
)


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden["name"] for golden in GOLDEN])
def test_golden_entries_keep_their_bytes_and_hashes(golden):
    """Each committed entry decodes, encodes to the same bytes, and has the committed hash."""
    data = bytes.fromhex(golden["bytes"])
    leaf = leaf_format.decode(data)
    assert json_format.MessageToDict(leaf) == golden["leaf"]
    assert leaf_format.encode(leaf) == data
    assert tree.leaf_hash(data).hex() == golden["hash"]


def test_golden_files_come_out_byte_for_byte():
    """The generator makes what is committed; the golden entries cover every kind, action and field."""
    assert {path.name: path.read_bytes() for path in make_golden.GOLDEN.iterdir()} == make_golden.files()
    full = leaf_pb2.Leaf.FromString(make_golden.leaves()["every field"].removeprefix(leaf_format.PREFIX))
    assert {field.name for field, _ in full.ListFields()} == set(leaf_pb2.Leaf.DESCRIPTOR.fields_by_name)


def test_every_text_of_the_format_has_a_pattern():
    """A text or bytes field without a pattern or a length would be a hole for free text."""
    found = {}
    for prefix, descriptor in (("", leaf_pb2.Leaf.DESCRIPTOR), ("subjects.", leaf_pb2.Subject.DESCRIPTOR)):
        for field in descriptor.fields:
            found[prefix + field.name] = field.type
            assert field.type != field.TYPE_MESSAGE or field.message_type.full_name == "lianfang.audit.v1.Subject"
    texts = {name for name, kind in found.items() if kind == leaf_pb2.Leaf.DESCRIPTOR.fields[0].TYPE_STRING}
    blobs = {name for name, kind in found.items() if kind == leaf_pb2.Leaf.DESCRIPTOR.fields[0].TYPE_BYTES}
    assert texts == set(leaf_format.PATTERNS)
    assert blobs == set(leaf_format.BYTES)


@pytest.mark.parametrize("name", TEXTS)
def test_codes_pass_and_names_and_numbers_do_not(name):
    """Each text field takes a code of its kind and refuses names, phone, account and identity numbers, unseen."""
    repeated = leaf_pb2.Leaf.DESCRIPTOR.fields_by_name[name].is_repeated
    leaf_format.encode(leaf_pb2.Leaf(kind=1, **{name: [TEXTS[name]] if repeated else TEXTS[name]}))
    for leak in LEAKS:
        with pytest.raises(LeafRefused) as refused:
            leaf_format.encode(leaf_pb2.Leaf(kind=1, **{name: [leak] if repeated else leak}))
        assert leak not in f"{refused.value} {refused.value.cure}"


@pytest.mark.parametrize(
    "subject",
    [
        {"kind": "account", "value": b"x" * 15, "field": "account"},
        {"kind": "account", "value": b"x" * 17, "field": "account"},
        {"kind": "owner", "value": b"x" * 16, "field": "account"},
        {"kind": "account", "value": b"x" * 16, "field": "Zhang Wei"},
    ],
)
def test_a_subject_is_a_blind_value(subject):
    """A subject of another length, kind or with words for a field is refused."""
    with pytest.raises(LeafRefused):
        leaf_format.encode(leaf_pb2.Leaf(kind=1, subjects=[leaf_pb2.Subject(**subject)]))


@pytest.mark.parametrize("name", ["exchange", "actor", "case", "message_digest", "file_digest"])
def test_bytes_are_ids_and_digests(name):
    """Bytes of another length than an id, a blind value or a digest are refused."""
    with pytest.raises(LeafRefused):
        leaf_format.encode(leaf_pb2.Leaf(kind=1, **{name: "张伟".encode()}))


def test_an_entry_has_a_kind_and_a_limit():
    """No kind is refused; 4,096 bytes pass and one more does not."""
    with pytest.raises(LeafRefused, match="kind"):
        leaf_format.encode(leaf_pb2.Leaf())
    leaf_format.require_form(leaf_format.PREFIX + bytes(leaf_format.LEAF_BYTES_MAX - len(leaf_format.PREFIX)))
    with pytest.raises(LeafRefused, match="4096"):
        leaf_format.require_form(leaf_format.PREFIX + bytes(leaf_format.LEAF_BYTES_MAX + 1 - len(leaf_format.PREFIX)))
    with pytest.raises(LeafRefused, match="4096"):
        leaf_format.encode(leaf_pb2.Leaf(kind=1, rule_ids=["OP-02"] * 1000))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"busaudit/v2\n",
        entry(1)[:-1],
        entry(1) + b"\xfa\x07\x01x",  # field 127, which the format has not
        entry(1) + b"\x08\x01",  # field 1 once more
        leaf_format.PREFIX + b"\x10\x01\x08\x01",  # fields out of order
        leaf_format.PREFIX + b"\x08\x81\x00\x10\x01",  # a number longer than it need be
        leaf_format.PREFIX + b"\xda\x01\x05\xfa\x07\x02hi",  # an unknown field inside a subject
    ],
)
def test_bytes_not_in_the_one_form_are_refused(data):
    """Wrong prefix, cut, unknown, repeated, reordered or padded fields are no entry."""
    with pytest.raises(LeafRefused):
        leaf_format.decode(data)


@given(st.binary(max_size=80))
def test_what_decodes_encodes_to_the_same_bytes(data):
    """Whatever bytes decode are the bytes that this leaf serialises to."""
    try:
        leaf = leaf_format.decode(leaf_format.PREFIX + data)
    except LeafRefused:
        return
    assert leaf.SerializeToString(deterministic=True) == data
