"""The signed document: signatures, succession, validity, and the files inside."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from bus.policy.author import build_body
from bus.policy.bundle import Bundle
from bus.policy.canonical import CONTEXT_BYTES_MAX, canonical, parse_canonical
from bus.policy.errors import PolicyError
from bus.policy.files import ANY, NAMES, read
from bus.policy.table import golden_request
from bus.policy.vocabulary import AGENCY_TYPES, CLASSES, message_classes, messages_with_purpose
from schemas import field_classes, registry
from schemas.v1 import federation_pb2
from tests.policy.federation import (
    DIRECTORY,
    FROM_MS,
    NOW_MS,
    SIGNERS,
    UNTIL_MS,
    body,
    bundle,
    load,
    signed,
)

TWO = ("centre-1", "police-1")


def code_of(document, **how):
    with pytest.raises(PolicyError) as refused:
        load(document, **how)
    assert refused.value.cause
    assert refused.value.cure
    return refused.value.code.removeprefix("LF-POLICY-")


def changed(**fields):
    parsed = federation_pb2.PolicyBundleBody.FromString(body())
    for name, value in fields.items():
        setattr(parsed, name, value)
    return parsed.SerializeToString(deterministic=True)


def test_a_bundle_of_two_signers_holds():
    held = load(signed(body(), *TWO))
    assert (held.serial, held.sha256) == (1, sha256(body()).digest())
    assert (held.not_before_ms, held.not_after_ms) == (FROM_MS, UNTIL_MS)
    assert held.is_document(signed(body(), *TWO))
    assert not held.is_document(signed(body(2, held.sha256), *TWO))
    assert not held.is_document(b"\xff")


def test_a_successor_holds():
    first = bundle()
    second = load(signed(body(2, first.sha256), *TWO), pinned=first)
    assert second.serial == 2


@pytest.mark.parametrize("names", [(), ("centre-1",), ("centre-1", "centre-1"), ("centre-1", "auditor-1")])
def test_one_agency_alone_is_not_enough(names):
    """One signature, the same twice, or a stranger's beside it."""
    assert code_of(signed(body(), *names)) == "SIGNATURES"


def test_a_forged_body_is_refused():
    """Signatures of another body, and one signature claimed by another agency."""
    document = federation_pb2.PolicyBundle.FromString(signed(body(), *TWO))
    document.body = changed(not_after_ms=UNTIL_MS + 1)
    assert code_of(document.SerializeToString()) == "SIGNATURES"
    document = federation_pb2.PolicyBundle.FromString(signed(body(), "centre-1"))
    document.signatures.add().CopyFrom(document.signatures[0])
    document.signatures[1].agency = "police-1"
    assert code_of(document.SerializeToString()) == "SIGNATURES"


def test_unsigned_rows_are_never_read():
    """A body with broken files and one signature is refused for its signatures."""
    parsed = federation_pb2.PolicyBundleBody.FromString(body())
    del parsed.files[:]
    assert code_of(signed(parsed.SerializeToString(), "centre-1")) == "SIGNATURES"


@pytest.mark.parametrize(
    ("serial", "previous", "code"),
    [
        (1, "right", "ROLLBACK"),
        (2, "right", "ROLLBACK"),
        (4, "right", "GAP"),
        (3, "wrong", "HISTORY"),
        (3, "empty", "HISTORY"),
    ],
)
def test_only_the_direct_successor_follows(serial, previous, code):
    """Rollback, the same again, a gap and a second history each have a code."""
    second = load(signed(body(2, bundle().sha256), *TWO), pinned=bundle())
    digests = {"right": second.sha256, "wrong": b"\x01" * 32, "empty": b""}
    assert code_of(signed(body(serial, digests[previous]), *TWO), pinned=second) == code


def test_validity_has_two_ends():
    document = signed(body(), *TWO)
    assert load(document, now_ms=FROM_MS)
    assert load(document, now_ms=UNTIL_MS)
    assert code_of(document, now_ms=FROM_MS - 1) == "NOT-YET"
    assert code_of(document, now_ms=UNTIL_MS + 1) == "EXPIRED"


def test_a_bundle_for_another_language_is_refused():
    assert code_of(signed(changed(descriptors_sha256=b"\x00" * 32), *TWO)) == "DESCRIPTORS"


@pytest.mark.parametrize("document", [b"\xff", federation_pb2.PolicyBundle(body=b"\xff").SerializeToString()])
def test_bytes_that_are_no_bundle(document):
    assert code_of(document) == "FORM"


def test_files_stand_in_order_and_once():
    parsed = federation_pb2.PolicyBundleBody.FromString(body())
    parsed.files.add().CopyFrom(parsed.files[0])
    assert code_of(signed(parsed.SerializeToString(), *TWO)) == "FORM"


def test_a_body_is_made_the_same_twice():
    assert build_body(DIRECTORY, 1, b"", FROM_MS, UNTIL_MS) == body()


@pytest.mark.parametrize(("serial", "from_ms", "until_ms"), [(0, 0, 1), (1, 1, 1), (1, 2, 1)])
def test_a_body_without_sense_is_not_made(serial, from_ms, until_ms):
    with pytest.raises(PolicyError):
        build_body(DIRECTORY, serial, b"", from_ms, until_ms)


def contents():
    return {name: (DIRECTORY / name).read_bytes() for name in NAMES}


def test_missing_and_oversized_files_are_not_taken(tmp_path):
    with pytest.raises(PolicyError, match=r"floors\.yaml cannot be read"):
        build_body(tmp_path, 1, b"", 0, 1)
    for name, content in contents().items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "rules.yaml").write_bytes(b" " * (256 * 1024 + 1))
    with pytest.raises(PolicyError, match="larger"):
        build_body(tmp_path, 1, b"", 0, 1)


def test_a_bundle_whose_golden_decisions_fail_is_not_made(tmp_path):
    for name, content in contents().items():
        (tmp_path / name).write_bytes(content)
    rules = (tmp_path / "rules.yaml").read_text().replace("roles: [sysadmin]", "roles: [compliance]")
    (tmp_path / "rules.yaml").write_text(rules)
    with pytest.raises(PolicyError) as refused:
        build_body(tmp_path, 1, b"", 0, 1)
    assert refused.value.code == "LF-POLICY-GOLDEN"


WRONG = [
    ("rules.yaml", "purposes: [early_warning]", "purposes: [eary_warning]", "WORD", "SE-01, key purposes", "early_warning"),
    ("rules.yaml", "only_if: [is_relief]", "only_if: [is_releif]", "WORD", "SD-04, key only_if", "is_relief"),
    ("rules.yaml", "messages: [StopPaymentOrder]", "messages: [StopPaymentOder]", "WORD", "SE-03, key messages", "StopPaymentOrder"),
    ("rules.yaml", "roles: [sysadmin]", "roles: [sysadmn]", "WORD", "FB-01, key roles", "sysadmin"),
    ("rules.yaml", "id: SE-02", "id: SE-01", "DUPLICATE-RULE", "SE-01", "own id"),
    ("rules.yaml", "  sender_types: [police]\n", "  sender_type: [police]\n", "FORM", "SE-03, key sender_type", "sender_types"),
    ("rules.yaml", "effect: permit", "effect: allow", "FORM", "SE-01, key effect", "other rows"),
    ("rules.yaml", 'result_code: "0600"', "result_code: 0600", "FORM", "FB-06, key result_code", "other rows"),
    ("rules.yaml", "  purposes: [audit]\n  bases: [ATF5]\n", "  bases: [ATF5]\n", "FORM", "SE-13, key purposes", "0006"),
    ("rules.yaml", "  roles: [analyst]\n", "", "FORM", "SD-01, key roles", "0006"),
    ("rules.yaml", "  sender_types: [bank, payment]\n  messages", "  messages", "FORM", "SE-01, key sender_types", "0006"),
    ("rules.yaml", "  actions: [accept]\n", "  actions: [accept]\n  roles: [analyst]\n", "FORM", "AC-01, key roles", "0006"),
    ("rules.yaml", "  actions: [accept]\n", "  actions: [accept]\n  classes: [RISK]\n", "FORM", "AC-01, key classes", "0006"),
    ("rules.yaml", "  actions: [accept]\n", '  actions: [accept]\n  result_code: "0600"\n', "FORM", "AC-01", "0006"),
    ("rules.yaml", "  effect: permit\n", "  effect: permit\n  effect: permit\n", "YAML", "line", "once"),
    ("rules.yaml", "actions: [seal]", "actions: &a [seal]\n  roles: *a", "YAML", "alias", "aliases"),
    ("rules.yaml", "why: ATF law art. 18 and 26,", "no: x\n  why: ATF law art. 18 and 26,", "YAML", "no plain text", "once"),
    ("rules.yaml", "- id: SE-01", "- id: [", "YAML", "line", "mend"),
    ("rules.yaml", "CallDetailAnswer", "CallDetail\x00", "YAML", "rules.yaml", "mend"),
    ("vocabulary.yaml", "  RISK: risk findings and results\n", "", "WORD", "RISK", "sentence"),
    ("vocabulary.yaml", "  RISK: risk", "  RISC: risk", "WORD", "RISC", "RISK"),
    ("vocabulary.yaml", "bases: [ATF20]", "bases: [ATF21]", "WORD", "purposes.stop_payment.bases", "ATF"),
    ("vocabulary.yaml", "opens_for: [freeze,", "opens_for: [freez,", "WORD", "purposes.freeze.opens_for", "freeze"),
    ("vocabulary.yaml", "  analyst: works", "  any: everyone\n  analyst: works", "WORD", "any is reserved", "rename"),
    ("vocabulary.yaml", "  Receipt: it", "  Reciept: it", "WORD", "Reciept", "Receipt"),
    ("vocabulary.yaml", "  CallDetailRequest: nobody", "  CallDetailAnswer: nobody", "EXHAUSTIVE", "either", "row"),
    ("floors.yaml", "StopPaymentOrder:", "StopPaymentOder:", "WORD", "StopPaymentOder", "StopPaymentOrder"),
    ("floors.yaml", "[CASE_META, RISK, ACCOUNT_ID]", "[CASE_META, VICTIM]", "WORD", "SuspiciousAccountNotice", "known"),
    ("owners.yaml", "accept_s: 900", "accept_s: 0", "FORM", "SuspiciousAccountNotice, key accept_s", "other rows"),
    ("owners.yaml", "accept_s: 900", "accept_s: '900'", "FORM", "SuspiciousAccountNotice, key accept_s", "other rows"),
    ("tests.yaml", "permitted: true", "permitted: 'true'", "FORM", "key permitted", "other rows"),
    ("tests.yaml", "ask: {action: seal", "ask: {acton: seal", "FORM", "ask", "other rows"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "code", "place", "cure"), WRONG)
def test_a_wrong_file_is_refused_with_place_and_cure(name, old, new, code, place, cure):
    """Every refusal names its code, the place and what to do."""
    files = contents()
    text = files[name].decode()
    assert old in text
    files[name] = text.replace(old, new, 1).encode()
    with pytest.raises(PolicyError) as refused:
        read(files)
    assert refused.value.code == f"LF-POLICY-{code}"
    assert place in refused.value.cause
    assert name in refused.value.cause or code == "EXHAUSTIVE"
    assert cure in refused.value.cure


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("rules.yaml", b"{}", "FORM"),
        ("rules.yaml", b"[]", "FORM"),
        ("rules.yaml", b"- 1", "FORM"),
        ("floors.yaml", b"[]", "FORM"),
        ("rules.yaml", b"\xff", "YAML"),
        ("rules.yaml", b"[" * 5000, "YAML"),
        ("owners.yaml", b"? [a]\n: 1\n", "YAML"),
    ],
)
def test_other_shapes_are_refused(name, content, code):
    with pytest.raises(PolicyError) as refused:
        read(contents() | {name: content})
    assert refused.value.code == f"LF-POLICY-{code}"


@pytest.mark.parametrize("files", [{}, {"extra.yaml": b""}])
def test_a_bundle_holds_its_five_files(files):
    given = contents() | files if files else {"rules.yaml": b""}
    with pytest.raises(PolicyError) as refused:
        read(given)
    assert refused.value.code == "LF-POLICY-FILES"


def test_a_class_without_a_seal_row_is_refused():
    files = contents()
    files["rules.yaml"] = files["rules.yaml"].replace(b", DEVICE_NET", b"")
    with pytest.raises(PolicyError, match="DEVICE_NET"):
        read(files)


def test_any_stands_for_every_message_and_class_where_it_is_written():
    """A row may say any; a type under never_sealed then contradicts it."""
    files = contents()
    files["rules.yaml"] = files["rules.yaml"].replace(
        b"messages: [Acknowledgement, Feedback]\n  purposes: any\n  classes: [CASE_META, RISK, NARRATIVE, STAFF]",
        b"messages: any\n  purposes: any\n  classes: any",
        1,
    )
    with pytest.raises(PolicyError) as refused:
        read(files)
    assert refused.value.code == "LF-POLICY-EXHAUSTIVE"


def test_every_type_and_class_has_its_place():
    """Every body type is sealed by a row or said never to be; every class stands in a seal row."""
    held = bundle()
    rows = [rule for rule in held.rules if "seal" in rule.actions and rule.effect == "permit"]
    sealed = {message for rule in rows for message in rule.messages}
    assert sealed | set(held.vocabulary.never_sealed) == set(message_classes())
    assert not sealed & set(held.vocabulary.never_sealed)
    assert {name for rule in rows for name in rule.classes} == CLASSES


def test_every_sealed_class_of_a_sealed_type_has_a_reader():
    """No field that the language lets a message carry is unreadable by everybody, but those listed."""
    rows = [rule for rule in bundle().rules if "seal" in rule.actions and rule.effect == "permit"]
    unreadable = {
        (message, name)
        for message, classes in message_classes().items()
        for name in classes
        if message not in bundle().vocabulary.never_sealed
        and not any(message in rule.messages and name in rule.classes for rule in rows)
    }
    # Officers stay out of what goes to telecoms, and out of what the node or the case system answers.
    assert unreadable == {
        (message, "STAFF")
        for message in (
            "SubjectForward",
            "SubjectAnswer",
            "NumberActionOrder",
            "NumberStatusQuery",
            "WatchCheckAnswer",
        )
    }


def given_to(agency_type):
    """Every (message, class) that some row seals to an agency of that type."""
    return {
        (message, name)
        for rule in bundle().rules
        if "seal" in rule.actions
        and rule.effect == "permit"
        and (rule.agency_types == ANY or agency_type in rule.agency_types)
        for message in rule.messages
        for name in rule.classes
        if name in message_classes()[message]
    }


@pytest.mark.parametrize("agency_type", sorted(AGENCY_TYPES))
def test_whoever_reads_anything_reads_what_it_is_for(agency_type):
    """Purpose and handling stand in CASE_META; without it no opening can be held to the purpose, so nothing opens."""
    given = given_to(agency_type)
    blind = {message for message, _ in given if message in messages_with_purpose()} - {
        message for message, name in given if name == "CASE_META"
    }
    assert blind == set()


def holds_account(descriptor, seen=()):
    """Say whether an account number can stand anywhere in a message."""
    if descriptor.name in ("AccountRef", "CryptoAddress"):
        return True
    return descriptor.full_name not in seen and any(
        field.message_type is not None and holds_account(field.message_type, (*seen, descriptor.full_name))
        for field in descriptor.fields
    )


def test_no_field_that_a_telecom_may_read_has_room_for_an_account_number():
    """Not by the class's name only: no part of any field sealed to a telecom is an account, however deep."""
    rooms = {
        f"{message}.{field.name}"
        for message, name in given_to("telecom")
        for field in field_classes.fields_by_class(registry.descriptor_of(message))[name]
        if field.message_type is not None and holds_account(field.message_type)
    }
    assert rooms == set()


QUESTIONS = tuple(golden_request(golden, NOW_MS) for golden in bundle().goldens)[::3]


def test_canonical_requests_come_back():
    data = canonical(QUESTIONS)
    assert parse_canonical(data) == QUESTIONS
    assert canonical(parse_canonical(data)) == data
    assert (
        sha256(canonical(QUESTIONS[:1])).hexdigest()
        != sha256(canonical((replace(QUESTIONS[0], mandate=True),))).hexdigest()
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value[0].pop("mandate"),
        lambda value: value[0].update(extra=1),
        lambda value: value[0].update(mandate=1),
        lambda value: value[0].update(roles="investigator"),
        lambda value: value[0].update(roles=[["investigator"]]),
        lambda value: value[0].update(now_ms=1.5),
        lambda value: value[0].update(purpose=None),
        lambda value: value.append(7),
    ],
)
def test_other_contexts_are_no_requests(change):
    value = json.loads(canonical(QUESTIONS[:2]))
    change(value)
    with pytest.raises(ValueError, match=r"context|type"):
        parse_canonical(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


@pytest.mark.parametrize("data", [b"{}", b"", b"[" * 40000, b" " * (CONTEXT_BYTES_MAX + 1), b"[] ", b"\xff"])
def test_other_bytes_are_no_context(data):
    """Whitespace, too much, too deep, no list: ValueError, nothing else."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's own message differs
        parse_canonical(data)


def test_load_takes_anything_with_serial_and_digest_as_pin():
    """A node may keep no more than that of the bundle in force."""

    class Kept:
        serial, sha256 = 1, bundle().sha256

    keys = {name: {} for name in SIGNERS}
    with pytest.raises(PolicyError):
        Bundle.load(signed(body(2, Kept.sha256), *TWO), signer_keys=keys, pinned=Kept(), now_ms=NOW_MS)
    assert load(signed(body(2, Kept.sha256), *TWO), pinned=Kept()).serial == 2
