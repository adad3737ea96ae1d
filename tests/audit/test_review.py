"""Who looked at a subject: openings and refusals with what came of them, by blind value only."""

from audit import blind, review
from audit.leaf import encode
from audit.v1 import leaf_pb2
from tests.audit.logs import NOW_MS, entry

KEY = bytes(range(32))
ACCOUNT = blind.blind(KEY, "account", "6222 0212-3456 7890")
GOLDEN_BLIND = "711851e552f5d8046286c74e32159bfb"
OTHER = blind.blind(KEY, "account", "6222000000000001")


def about(value, field="account"):
    return [leaf_pb2.Subject(kind="account", value=value, field=field)]


def outcome(follows, code):
    return encode(
        leaf_pb2.Leaf(kind=leaf_pb2.KIND_OUTCOME, action=leaf_pb2.ACTION_OPEN, follows=follows + 1, reason_codes=[code])
    )


LOG = [
    entry(0, kind=leaf_pb2.KIND_START),
    entry(
        1,
        subjects=about(ACCOUNT),
        actor=b"a" * 16,
        actor_roles=["investigator"],
        case=b"c" * 16,
        legal_basis="CPL144",
    ),
    entry(2, subjects=about(OTHER)),
    entry(
        3,
        kind=leaf_pb2.KIND_DENIAL,
        decision=leaf_pb2.DECISION_DENY,
        classes_released=[],
        classes_requested=["BALANCE"],
        rule_ids=["OP-02"],
        reason_codes=["LF-POLICY-DENIED"],
        subjects=[*about(OTHER), *about(ACCOUNT)],
    ),
    outcome(1, "OPENED"),
    outcome(2, "OPENED"),
    entry(6, action=leaf_pb2.ACTION_HAND_OVER, system="svc-core", subjects=about(ACCOUNT)),
    entry(7, kind=leaf_pb2.KIND_INTENT, action=leaf_pb2.ACTION_SEND, subjects=about(ACCOUNT)),
    outcome(1, "LF-OPEN-LATE"),
    outcome(7, "OPENED"),
    outcome(-1, "OPENED"),
]


def test_openings_refusals_and_outcomes_are_found():
    """Each look at the subject, refusals among them, in order, with all of its outcomes; nobody else's."""
    looks = review.who(enumerate(LOG), {ACCOUNT})
    assert [(look.entry, look.action, look.decision, look.outcome) for look in looks] == [
        (1, "OPEN", "PERMIT", "OPENED,LF-OPEN-LATE"),
        (3, "OPEN", "DENY", "REFUSED"),
        (6, "HAND_OVER", "PERMIT", ""),
    ]
    first, refused, handed = looks
    assert (first.actor, first.roles, first.case) == ((b"a" * 16).hex(), ("investigator",), (b"c" * 16).hex())
    assert (first.purpose, first.legal_basis, first.classes) == ("investigate", "CPL144", ("ACCOUNT_ID",))
    assert (refused.classes, refused.rules, refused.reasons) == (("BALANCE",), ("OP-02",), ("LF-POLICY-DENIED",))
    assert (handed.system, handed.message_type, handed.at_ms) == ("svc-core", "SuspiciousAccountNotice", NOW_MS + 6)


def test_a_look_is_plain_data():
    """A look turns into what JSON carries, without losing a column."""
    (look, *_) = review.who(enumerate(LOG), {ACCOUNT})
    plain = look.as_dict()
    assert set(plain) == set(vars(look))
    assert plain["roles"] == ["investigator"]


def test_only_the_asked_values_are_found():
    """No value, an unknown value or another key's value of the same account find nothing."""
    assert review.who(enumerate(LOG), set()) == []
    assert review.who(enumerate(LOG), {bytes(16)}) == []
    assert review.who(enumerate(LOG), {blind.blind(bytes(32), "account", "6222021234567890")}) == []


def test_a_part_of_a_log_keeps_its_indices():
    """Entries come with their own index; an outcome whose entry is not in the part is passed over."""
    looks = review.who(list(enumerate(LOG))[3:], {ACCOUNT})
    assert [(look.entry, look.outcome) for look in looks] == [(3, "REFUSED"), (6, "")]


def test_blind_values_are_the_same_for_every_writing():
    """Blanks, dashes, case and full-width signs make no difference; kind and key do."""
    assert blind.blind(KEY, "account", "６２２２０２１２３４５６７８９０") == ACCOUNT
    assert len(ACCOUNT) == blind.VALUE_BYTES
    assert blind.blind(KEY, "case", "6222021234567890") != ACCOUNT
    assert blind.normalise("phone", " +86 138-0013-8000") == "+8613800138000"
    assert blind.normalise("phone", "138 0013 8000") == "13800138000"
    assert blind.normalise("account", "de89 3704 0044") == "DE8937040044"
    assert blind.normalise("person", " 110101 19900307 123x ") == "11010119900307123X"


def test_blind_values_are_hmac_sha256():
    """The format is final: HMAC-SHA256(key, kind || 0x00 || normalised), the first 16 bytes."""
    assert blind.blind(KEY, "account", "6222021234567890").hex() == GOLDEN_BLIND


def test_quarters_turn_at_midnight_utc():
    """A moment belongs to the quarter that it lies in by UTC."""
    assert blind.quarter(NOW_MS) == "2027Q1"
    assert blind.quarter(1_790_812_799_999) == "2026Q3"
    assert blind.quarter(1_790_812_800_000) == "2026Q4"
