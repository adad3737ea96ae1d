"""What is asked of policy and what it answers."""

from dataclasses import dataclass
from typing import Literal

Point = Literal["seal", "accept", "open", "effect"]


@dataclass(frozen=True)
class Request:
    """One question.

    Every value comes from a trusted place: the verified header, the key service, the socket's peer, the own case
    register; never from a caller's text, except what a person states and is held to.
    """

    point: Point
    action: str
    agency: str
    agency_type: str
    sender: str
    sender_type: str
    message_type: str
    now_ms: int
    field_class: str = ""
    purpose: str = ""
    legal_basis: str = ""
    sealed_purpose: str = ""
    kind: str = ""
    roles: tuple[str, ...] = ()
    service: str = ""
    case_present: bool = False
    case_status: str = ""
    mandate: bool = False
    on_team: bool = False
    attachments: tuple[str, ...] = ()
    bundle_serial: int = 0  # the bundle the asker means to be judged by; 0 where it does not say


@dataclass(frozen=True)
class Decision:
    """The answer, with the rows that decided, in words, and on a denial what was missing and what to do next."""

    permitted: bool
    rule_ids: tuple[str, ...]
    reason: str
    missing: tuple[str, ...] = ()
    next_step: str = ""
    code: str = ""
    result_code: str = ""


@dataclass(frozen=True)
class Owner:
    """Whose job a message is, and by when: seconds from arrival."""

    responsible: str
    accept_s: int
    done_s: int
    escalation: str


@dataclass(frozen=True)
class SealPlan:
    """Who may read which class of a message that is about to be sealed, or why it may not be sent."""

    audiences: dict[str, frozenset[str]]
    refusals: tuple[Decision, ...]
