"""The rows of the example bundle and the evaluator."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.policy.files import ANY, NONE
from bus.policy.guards import GUARDS, Guard
from bus.policy.model import Request
from bus.policy.render import render
from bus.policy.table import Table, failed_goldens, golden_request
from bus.policy.vocabulary import (
    ACTIONS,
    AGENCY_TYPES,
    CASE_STATUSES,
    CLASS_ACTIONS,
    CLASSES,
    KINDS,
    PAPERS,
    message_classes,
)
from tests.policy.federation import NOW_MS, ask, bundle

RULES, GOLDENS, WORDS = bundle().rules, bundle().goldens, bundle().vocabulary
NOTICE = {"purpose": "early_warning", "legal_basis": "ATF18", "sealed_purpose": "early_warning"}


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.says)
def test_golden(golden):
    """Every golden decision comes out as written, at a moment when the bundle is in force."""
    decision = bundle().decide(golden_request(golden, NOW_MS))
    assert (decision.permitted, decision.result_code) == (golden.permitted, golden.result_code)
    assert sorted(decision.rule_ids) == sorted(golden.rules)
    assert decision.reason
    assert bool(decision.code) is not decision.permitted
    assert decision.permitted or decision.next_step


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_row_is_needed(rule):
    """Without this row a golden decision comes out otherwise."""
    assert failed_goldens(Table([other for other in RULES if other is not rule], WORDS), GOLDENS)


@pytest.mark.parametrize(
    ("rule", "guard"), [(rule, name) for rule in RULES for name in rule.only_if or ()], ids=lambda item: str(item)[:8]
)
def test_every_condition_is_needed(rule, guard):
    """Without this condition on its row a golden decision comes out otherwise."""
    weaker = rule.model_copy(update={"only_if": [name for name in rule.only_if if name != guard]})
    assert failed_goldens(Table([weaker if other is rule else other for other in RULES], WORDS), GOLDENS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_row_has_the_right_effect(rule):
    """With its effect turned round a golden decision comes out otherwise."""
    turned = rule.model_copy(update={"effect": "forbid" if rule.effect == "permit" else "permit"})
    assert failed_goldens(Table([turned if other is rule else other for other in RULES], WORDS), GOLDENS)


def _sampled(words):
    return st.sampled_from(sorted(words))


@st.composite
def requests(draw):
    """Any question in known words, as wild as may be."""
    action = draw(_sampled(ACTIONS))
    service = draw(_sampled({*WORDS.services, ""}))
    return Request(
        point=ACTIONS[action],
        action=action,
        agency="a-1",
        agency_type=draw(_sampled(AGENCY_TYPES)),
        sender=draw(_sampled({"a-1", "b-1"})),
        sender_type=draw(_sampled(AGENCY_TYPES)),
        message_type=draw(_sampled(message_classes())),
        now_ms=NOW_MS,
        field_class=draw(_sampled(CLASSES)) if action in CLASS_ACTIONS else "",
        purpose=draw(_sampled({*WORDS.purposes, ""})),
        legal_basis=draw(_sampled({*WORDS.bases, ""})),
        sealed_purpose=draw(_sampled({*WORDS.purposes, ""})),
        kind=draw(_sampled(KINDS)),
        roles=() if service else tuple(draw(st.lists(_sampled(WORDS.roles), max_size=3))),
        service=service,
        case_present=draw(st.booleans()),
        case_status=draw(_sampled(CASE_STATUSES)),
        mandate=draw(st.booleans()),
        on_team=draw(st.booleans()),
        attachments=tuple(draw(st.lists(_sampled(PAPERS), max_size=4))),
    )


@st.composite
def likely_requests(draw):
    """A golden question with one thing changed: near the border between permitted and not."""
    near = golden_request(draw(st.sampled_from(GOLDENS)), NOW_MS)
    far = draw(requests())
    name = draw(st.sampled_from(["agency_type", "sender_type", "purpose", "legal_basis", "sealed_purpose", "kind"]))
    return replace(near, **{name: getattr(far, name)}, mandate=far.mandate, case_status=far.case_status)


def _in(column, word):
    return column in (None, ANY) or word in [("" if item == NONE else item) for item in column]


def _matches(rule, request):
    """A second reading of what a row means, column by column, slow and plain."""
    actor = not (rule.roles or rule.services) or (
        bool(set(rule.roles or ()) & set(request.roles)) or request.service in (rule.services or ())
    )
    return (
        request.action in rule.actions
        and actor
        and all(
            _in(getattr(rule, column), word)
            for column, word in (
                ("agency_types", request.agency_type),
                ("sender_types", request.sender_type),
                ("messages", request.message_type),
                ("purposes", request.purpose),
                ("bases", request.legal_basis),
                ("classes", request.field_class),
            )
        )
        and all(GUARDS[name].holds(request, WORDS) for name in rule.only_if or ())
    )


@settings(max_examples=600, deadline=None)
@given(st.one_of(requests(), likely_requests()))
def test_permitted_means_some_permit_and_no_forbid(request):
    """A question is permitted exactly when a permit matches and no forbid does; the rows named are those that match."""
    permits = {rule.id for rule in RULES if rule.effect == "permit" and _matches(rule, request)}
    forbids = {rule.id for rule in RULES if rule.effect == "forbid" and _matches(rule, request)}
    decision = bundle().decide(request)
    assert decision.permitted is (bool(permits) and not forbids)
    if forbids or permits:
        assert set(decision.rule_ids) == (forbids or permits)


WORD_FIELDS = [
    "point",
    "action",
    "agency_type",
    "sender_type",
    "message_type",
    "field_class",
    "purpose",
    "legal_basis",
    "sealed_purpose",
    "kind",
    "service",
    "case_status",
]


@given(st.sampled_from(GOLDENS), st.sampled_from(WORD_FIELDS), st.text(min_size=1, max_size=12))
def test_an_unknown_word_denies(golden, name, word):
    """A word that the bundle has not got denies, whatever else is true."""
    word = f"{word}\x00"
    assert not bundle().decide(replace(golden_request(golden, NOW_MS), **{name: word})).permitted


@pytest.mark.parametrize("facts", [{"roles": ("investigatr",)}, {"attachments": ("stamp",)}, {"agency": ""}])
def test_an_unknown_role_or_paper_denies(facts):
    request = replace(golden_request(GOLDENS[0], NOW_MS), **facts)
    assert bundle().decide(request).code == "LF-POLICY-UNKNOWN-WORD"


def test_a_misspelt_purpose_is_met_with_the_right_one():
    decision = bundle().decide(replace(golden_request(GOLDENS[0], NOW_MS), purpose="eary_warning"))
    assert decision.next_step == "did you mean early_warning?"


def test_the_purpose_inside_is_never_repeated():
    """A word out of a sealed field does not come back in a reason."""
    decision = bundle().decide(
        ask(
            "open",
            "police",
            "bank",
            "SuspiciousAccountNotice",
            **NOTICE | {"field_class": "RISK", "sealed_purpose": "secret_words", "roles": ("investigator",)},
        )
    )
    assert not decision.permitted
    assert "secret_words" not in f"{decision.reason}{decision.next_step}"


@pytest.mark.parametrize(
    "facts",
    [
        {"roles": None},
        {"attachments": 7},
        {"purpose": []},
        {"now_ms": None},
        {"now_ms": "now"},
        {"case_present": "yes"},
        {"mandate": None},
    ],
)
def test_a_broken_fact_denies(facts):
    """A fact of the wrong type denies; nothing is raised."""
    request = ask(
        "open", "police", "bank", "SuspiciousAccountNotice", field_class="RISK", roles=("investigator",),
        case_present=True, **NOTICE,
    )  # fmt: skip
    assert bundle().decide(request).permitted
    assert not bundle().decide(replace(request, **facts)).permitted


@pytest.mark.parametrize("name", ["case_or_alert_stated", "purpose_shifted"])
@pytest.mark.parametrize("holds", [lambda *_: 1 / 0, lambda *_: None, lambda *_: 1])
def test_an_error_in_a_condition_denies(monkeypatch, name, holds):
    """A condition of a permit or of a forbid that fails, or gives no truth value, denies: it is never skipped."""
    monkeypatch.setitem(GUARDS, name, Guard("", "", "", holds))
    request = ask(
        "open", "police", "bank", "SuspiciousAccountNotice", field_class="RISK", roles=("investigator",),
        case_present=True, **NOTICE,
    )  # fmt: skip
    decision = Table(RULES, WORDS).decide(request)
    assert (decision.permitted, decision.code) == (False, "LF-POLICY-ERROR")


def test_person_and_service_never_both():
    request = replace(
        golden_request(next(golden for golden in GOLDENS if golden.rules == ["OP-09"]), NOW_MS), service="svc-core"
    )
    assert bundle().decide(request).code == "LF-POLICY-UNKNOWN-WORD"


def test_outside_its_validity_a_bundle_permits_nothing():
    request = golden_request(GOLDENS[0], NOW_MS)
    held = bundle()
    for now_ms, permitted in (
        (held.not_before_ms - 1, False),
        (held.not_before_ms, True),
        (held.not_after_ms, True),
        (held.not_after_ms + 1, False),
    ):
        assert held.decide(replace(request, now_ms=now_ms)).permitted is permitted


def test_a_question_to_another_bundle_is_refused():
    request = golden_request(GOLDENS[0], NOW_MS)
    assert bundle().decide(replace(request, bundle_serial=1)).permitted
    assert bundle().decide(replace(request, bundle_serial=2)).code == "LF-POLICY-OTHER-BUNDLE"


def test_the_investigator_refused_a_balance_is_told_why():
    """The story: rule, what is missing, what to do."""
    decision = bundle().decide(
        ask(
            "open",
            "police",
            "bank",
            "SuspiciousAccountNotice",
            field_class="BALANCE",
            roles=("investigator",),
            case_present=True,
            **NOTICE,
        )
    )
    assert decision.rule_ids == ("OP-02",)
    assert "OP-02: a mandate" in decision.missing
    assert "OP-02: purpose investigate" in decision.missing
    assert decision.reason.startswith("no row permits it")


def test_a_message_that_nobody_may_send_has_no_row_named():
    decision = bundle().decide(ask("send", "police", "police", "CallDetailRequest", roles=("investigator",)))
    assert (decision.permitted, decision.rule_ids, decision.code) == (False, (), "LF-POLICY-DENIED")


def test_the_team_condition_asks_for_membership():
    """It holds for members only."""
    request = golden_request(GOLDENS[0], NOW_MS)
    assert not GUARDS["on_team"].holds(request, WORDS)
    assert GUARDS["on_team"].holds(replace(request, on_team=True), WORDS)


def test_every_row_is_a_sentence():
    """One sentence per row; a recipient is given, it does not seal."""
    sentences = render(bundle())
    assert [sentence.split(":")[0] for sentence in sentences] == [rule.id for rule in RULES]
    assert any(
        sentence.startswith("FB-03: a telecom MUST NOT be given, open or disclose as evidence account numbers")
        for sentence in sentences
    )
    assert all(rule.why in sentence for rule, sentence in zip(RULES, sentences, strict=True))


def test_a_permit_names_its_row():
    """A permit says which row gave it, and that row's reason."""
    decision = bundle().decide(golden_request(GOLDENS[0], NOW_MS))
    assert (decision.permitted, decision.rule_ids) == (True, ("SE-01",))
    assert decision.reason == next(rule.why for rule in RULES if rule.id == "SE-01")
