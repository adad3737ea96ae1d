"""Named conditions. A row can only name one; what it means is code here, with a sentence a lawyer can check.

A guard answers True or False and nothing else: an exception or another value is an evaluation error, and denies.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bus.limits import REQUIRED_POLICE_IDS
from bus.policy.model import Request
from bus.policy.vocabulary import RELIEVING, Vocabulary, messages_with_purpose


@dataclass(frozen=True)
class Guard:
    """A condition: how it reads in a row, what is missing when a permit fails on it, and what to do then."""

    says: str
    missing: str
    next_step: str
    holds: Callable[[Request, Vocabulary], bool]


_FORM = {"StopPaymentOrder": "stop_payment_form", "FreezeOrder": "freeze_instrument"}


def _papers_incomplete(request: Request, _: Vocabulary) -> bool:
    if request.kind in RELIEVING:
        return False
    papers = request.attachments
    return papers.count("police_id") < REQUIRED_POLICE_IDS or _FORM[request.message_type] not in papers


def _purpose_shifted(request: Request, words: Vocabulary) -> bool:
    if not request.sealed_purpose:
        # A message that carries a purpose and shows none has not been read: nobody may guess it.
        return request.message_type in messages_with_purpose()
    return request.purpose not in words.purposes[request.sealed_purpose].opens_for


def _basis_misfits(request: Request, words: Vocabulary) -> bool:
    if not request.purpose:
        return bool(request.legal_basis)
    return request.legal_basis not in words.purposes[request.purpose].bases


GUARDS: Mapping[str, Guard] = {
    "case_or_alert_stated": Guard(
        "a case or an alert is stated",
        "a stated case or alert",
        "state the case or the alert with --case",
        lambda request, _: request.case_present,
    ),
    "case_filed": Guard(
        "the case is filed in the agency's own register",
        "a case filed in the own register",
        "have the case filed, then state its number with --case",
        lambda request, _: request.case_status == "filed",
    ),
    "mandate_held": Guard(
        "a mandate is held",
        "a mandate",
        "have the mandate approved, then state it with --mandate",
        lambda request, _: request.mandate,
    ),
    "on_team": Guard(
        "the person is on the case's team",
        "membership of the case's team",
        "ask the head of the case to put you on its team",
        lambda request, _: request.on_team,
    ),
    "is_relief": Guard(
        "the order lifts, releases, ends or restores what an earlier one did",
        "an order that lifts, releases, ends or restores",
        "for a new measure state the purpose and the filed case that it needs",
        lambda request, _: request.kind in RELIEVING,
    ),
    "own_message": Guard(
        "the agency itself sent the message",
        "a message of the own agency",
        "ask the agency that sent it",
        lambda request, _: request.sender == request.agency,
    ),
    "papers_incomplete": Guard(
        f"it is no lift or release and {REQUIRED_POLICE_IDS} police-ID scans and the form or instrument are not all there",
        "incomplete papers",
        "attach the papers",
        _papers_incomplete,
    ),
    "freeze_without_case": Guard(
        "it is no release and names no case",
        "no case",
        "name the filed case in the order",
        lambda request, _: request.kind not in RELIEVING and not request.case_present,
    ),
    "case_closed": Guard(
        "the case is closed and it is no lift, release, end or restoring",
        "a closed case",
        "have the case reopened",
        lambda request, _: request.case_status == "closed" and request.kind not in RELIEVING,
    ),
    "purpose_shifted": Guard(
        "the purpose stated is not one that the message's own purpose opens for",
        "another purpose",
        "state a purpose that the message was sent for, or ask its sender anew",
        _purpose_shifted,
    ),
    "basis_misfits": Guard(
        "the legal basis stated is none of the purpose's",
        "another legal basis",
        "state a legal basis of that purpose with --legal-basis; `lianfang policy show` names them",
        _basis_misfits,
    ),
}
