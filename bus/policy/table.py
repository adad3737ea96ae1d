"""The rows, compiled, and the one function that decides. Pure.

- Default deny; a forbid overrides every permit; any error while deciding denies.
- Every row that decided is named. A denial for want of a permit names the nearest permits and what they ask for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bus.policy.files import ANY, NONE, Golden, Rule
from bus.policy.guards import GUARDS, Guard
from bus.policy.model import Decision, Request
from bus.policy.vocabulary import (
    ACTIONS,
    AGENCY_TYPES,
    CASE_STATUSES,
    CLASS_ACTIONS,
    CLASSES,
    KINDS,
    PAPERS,
    Vocabulary,
    did_you_mean,
    message_classes,
)

DENIED = "LF-POLICY-DENIED"
ERROR = "LF-POLICY-ERROR"
UNKNOWN_WORD = "LF-POLICY-UNKNOWN-WORD"
_ASK_POLICY = "ask the agency's policy officer; what no row permits is forbidden"


@dataclass(frozen=True, slots=True)
class _Row:
    """A rule with sets for columns; None stands for any."""

    rule: Rule
    agency_types: frozenset[str] | None
    sender_types: frozenset[str] | None
    roles: frozenset[str]
    services: frozenset[str]
    purposes: frozenset[str] | None
    bases: frozenset[str] | None
    classes: frozenset[str] | None
    guards: tuple[Guard, ...]

    def matches(self, request: Request, words: Vocabulary) -> bool:
        return (
            (self.agency_types is None or request.agency_type in self.agency_types)
            and (self.sender_types is None or request.sender_type in self.sender_types)
            and (self.purposes is None or request.purpose in self.purposes)
            and (self.bases is None or request.legal_basis in self.bases)
            and self.fits_actor(request)
            and all([_holds(guard, request, words) for guard in self.guards])  # noqa: C419 - each is asked, so that an error in any denies
        )

    def fits_actor(self, request: Request) -> bool:
        if not self.roles and not self.services:
            return True
        return request.service in self.services or not self.roles.isdisjoint(request.roles)


@dataclass(frozen=True, slots=True)
class _Cell:
    """The rows that speak of one action, message type and class."""

    forbids: tuple[_Row, ...]
    permits: tuple[_Row, ...]


class Table:
    """Decides by rows."""

    def __init__(self, rules: Sequence[Rule], words: Vocabulary) -> None:
        self._words = words
        self._roles = frozenset(words.roles)
        self._services = frozenset(words.services) | {""}
        self._purposes = frozenset(words.purposes) | {""}
        self._bases = frozenset(words.bases) | {""}
        self._papers = PAPERS
        self._messages = frozenset(message_classes())
        self._cells: dict[tuple[str, str, str], _Cell] = {}
        self._permits: dict[tuple[str, str], tuple[_Row, ...]] = {}
        rows = [_compiled(rule) for rule in rules]
        for action in ACTIONS:
            for message in self._messages:
                speaking = [row for row in rows if _speaks(row.rule, action, message)]
                self._permits[action, message] = tuple(row for row in speaking if row.rule.effect == "permit")
                for name in CLASSES if action in CLASS_ACTIONS else ("",):
                    here = [row for row in speaking if row.classes is None or name in row.classes]
                    self._cells[action, message, name] = _Cell(
                        tuple(row for row in here if row.rule.effect == "forbid"),
                        tuple(row for row in here if row.rule.effect == "permit"),
                    )

    def decide(self, request: Request) -> Decision:
        """Return the decision. Never raises: what cannot be decided is denied."""
        try:
            return self._decide(request)
        except Exception as error:  # noqa: BLE001 - fail closed: any error while deciding denies
            return Decision(
                False,
                (),
                f"the question could not be decided ({type(error).__name__})",
                next_step="report it to the node's operator: this is a fault, not a rule",
                code=ERROR,
            )

    def _decide(self, request: Request) -> Decision:
        unknown = self._unknown(request)
        if unknown is not None:
            return unknown
        cell = self._cells[request.action, request.message_type, request.field_class]
        forbids = [row for row in cell.forbids if row.matches(request, self._words)]
        permits = [row for row in cell.permits if row.matches(request, self._words)]
        if forbids:
            return _forbidden(forbids)
        if permits:
            return Decision(True, tuple([row.rule.id for row in permits]), permits[0].rule.why)
        return self._nothing_permits(request)

    def _unknown(self, request: Request) -> Decision | None:
        """Deny a word that the bundle or the shared language has not got."""
        if (
            ACTIONS.get(request.action) == request.point
            and request.agency
            and request.sender
            and request.agency_type in AGENCY_TYPES
            and request.sender_type in AGENCY_TYPES
            and request.message_type in self._messages
            and (request.action, request.message_type, request.field_class) in self._cells
            and request.purpose in self._purposes
            and request.legal_basis in self._bases
            and request.sealed_purpose in self._purposes
            and request.service in self._services
            and request.kind in KINDS
            and request.case_status in CASE_STATUSES
            and self._roles.issuperset(request.roles)
            and self._papers.issuperset(request.attachments)
            and not (request.roles and request.service)
            and type(request.now_ms) is int
            and request.case_present in (True, False)
            and request.mandate in (True, False)
            and request.on_team in (True, False)
        ):
            return None
        return self._named(request)

    def _named(self, request: Request) -> Decision:
        if request.roles and request.service:
            return _unknown_word("a person with roles and a service cannot act as one", "act as one of them")
        for what, given, known in (
            ("action", (request.action,), ACTIONS),
            ("agency type", (request.agency_type, request.sender_type), AGENCY_TYPES),
            ("message type", (request.message_type,), self._messages),
            ("purpose", (request.purpose,), self._purposes),
            ("legal basis", (request.legal_basis,), self._bases),
            ("role", request.roles, self._roles),
            ("service", (request.service,), self._services),
        ):
            for word in given:
                if word not in known:
                    return _unknown_word(f"{what} {word[:64]} is not a word of the bundle", did_you_mean(word, known))
        # What remains may come out of a sealed field (the purpose inside, the papers): it is not repeated.
        return _unknown_word(
            "the question has a point, class, kind, status, paper or inner purpose that is not a word of the bundle",
            "report it to the node's operator, with the bundle's serial",
        )

    def _nothing_permits(self, request: Request) -> Decision:
        candidates = [
            (_misses(row, request, self._words), row)
            for row in self._permits[request.action, request.message_type]
            if (row.agency_types is None or request.agency_type in row.agency_types)
            and (row.sender_types is None or request.sender_type in row.sender_types)
        ]
        if not candidates:
            return Decision(
                False,
                (),
                f"no row lets {request.agency_type} {request.action} {request.message_type} from {request.sender_type}",
                next_step=_ASK_POLICY,
                code=DENIED,
            )
        best = min(misses.rank for misses, _ in candidates)
        nearest = [(misses, row) for misses, row in candidates if misses.rank == best]
        missing = tuple(f"{row.rule.id}: {text}" for misses, row in nearest for text in misses.texts)
        return Decision(
            False,
            tuple(row.rule.id for _, row in nearest),
            f"no row permits it; nearest: {'; '.join(f'{row.rule.id}, {row.rule.why}' for _, row in nearest)}",
            missing,
            next((step for misses, _ in nearest for step in misses.steps), nearest[0][1].rule.next_step or _ASK_POLICY),
            DENIED,
        )


@dataclass(frozen=True, slots=True)
class _Misses:
    """What keeps a permit from matching. The rank puts rows first that cover the class, then those that fit the actor."""

    rank: tuple[bool, bool, int]
    texts: tuple[str, ...]
    steps: tuple[str, ...]


def _misses(row: _Row, request: Request, words: Vocabulary) -> _Misses:
    texts, steps = [], []
    off_class = row.classes is not None and request.field_class not in row.classes
    if off_class:
        texts.append(f"a class other than {request.field_class}")
    off_actor = not row.fits_actor(request)
    if off_actor:
        texts.append(f"as {_listed(row.roles | row.services)}")
    if row.purposes is not None and request.purpose not in row.purposes:
        texts.append(f"purpose {_listed(row.purposes)}")
        steps.append(f"state the purpose {_listed(row.purposes)} if it is yours")
    if row.bases is not None and request.legal_basis not in row.bases:
        texts.append(f"legal basis {_listed(row.bases)}")
    for guard in row.guards:
        if not _holds(guard, request, words):
            texts.append(guard.missing)
            steps.append(guard.next_step)
    return _Misses((off_class, off_actor, len(texts)), tuple(texts), tuple(steps))


def _listed(words: Iterable[str]) -> str:
    return " or ".join(sorted(word or NONE for word in words))


def _holds(guard: Guard, request: Request, words: Vocabulary) -> bool:
    value = guard.holds(request, words)
    if value is not True and value is not False:
        raise TypeError("a guard gave neither True nor False")
    return value


def _forbidden(rows: Sequence[_Row]) -> Decision:
    texts = [f"{row.rule.id}: {row.rule.why}" for row in rows]
    steps = [row.rule.next_step or next((guard.next_step for guard in row.guards), "") for row in rows]
    return Decision(
        False,
        tuple(row.rule.id for row in rows),
        f"forbidden by {'; '.join(texts)}",
        next_step=next((step for step in steps if step), _ASK_POLICY),
        code=DENIED,
        result_code=next((row.rule.result_code for row in rows if row.rule.result_code), ""),
    )


def _unknown_word(reason: str, next_step: str) -> Decision:
    return Decision(False, (), reason, next_step=next_step, code=UNKNOWN_WORD)


def _speaks(rule: Rule, action: str, message: str) -> bool:
    return action in rule.actions and (rule.messages in (None, ANY) or message in (rule.messages or ()))


def _column(given: list[str] | str | None) -> frozenset[str] | None:
    if given is None or given == ANY:
        return None
    return frozenset("" if word == NONE else word for word in given)


def _compiled(rule: Rule) -> _Row:
    return _Row(
        rule=rule,
        agency_types=_column(rule.agency_types),
        sender_types=_column(rule.sender_types),
        roles=frozenset(rule.roles or ()),
        services=frozenset(rule.services or ()),
        purposes=_column(rule.purposes),
        bases=_column(rule.bases),
        classes=_column(rule.classes),
        guards=tuple(GUARDS[name] for name in rule.only_if or ()),
    )


def golden_request(golden: Golden, now_ms: int) -> Request:
    """Return the question of a golden decision."""
    ask = golden.ask
    sealed = ask.sealed_purpose if ask.sealed_purpose is not None else ask.purpose
    agency = f"{ask.agency_type}-1"
    request = Request(
        point=ACTIONS.get(ask.action, "open"),  # type: ignore[arg-type]  # the table's values are the points
        action=ask.action,
        agency=agency,
        agency_type=ask.agency_type,
        sender=agency if ask.own else f"{ask.sender_type}-2",
        sender_type=ask.sender_type,
        message_type=ask.message_type,
        now_ms=now_ms,
        field_class=ask.field_class,
        purpose=ask.purpose,
        legal_basis=ask.legal_basis,
        sealed_purpose=sealed,
        kind=ask.kind,
        roles=tuple(ask.roles),
        service=ask.service,
        case_present=ask.case_present,
        case_status=ask.case_status,
        mandate=ask.mandate,
        on_team=ask.on_team,
        attachments=tuple(ask.attachments),
    )
    return replace(request, sealed_purpose="") if ask.action in ("seal", "accept") else request


def failed_goldens(table: Table, goldens: Iterable[Golden]) -> list[str]:
    """Return the golden decisions that the table does not give."""
    failed = []
    for golden in goldens:
        decision = table.decide(golden_request(golden, 0))
        given = (decision.permitted, sorted(decision.rule_ids), decision.result_code)
        if given != (golden.permitted, sorted(golden.rules), golden.result_code):
            failed.append(f"{golden.says} (gave {decision.permitted} by {', '.join(decision.rule_ids) or 'no row'})")
    return failed
