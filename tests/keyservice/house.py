"""What the sealing and key-service tests share: a small federation of key services, a full notice, and its leaves."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from audit import leaf as leaf_format
from audit.v1 import leaf_pb2
from bus import enrolment
from bus.directory import Directory
from bus.keyservice.protocol import OpenRequest, SealRequest
from bus.keyservice.service import KeyService
from bus.policy.author import build_body
from bus.policy.canonical import canonical
from bus.policy.model import Request
from bus.sealing.envelope import ParsedEnvelope
from bus.sealing.plan import compartments
from schemas.v1 import common_pb2, federation_pb2, notice_pb2

NOW_MS = 1_800_000_000_000
POLICY = Path(__file__).parents[2] / "deploy" / "policy"
AGENCIES = {"bank-a": "bank", "bank-b": "bank", "centre": "centre", "police-a": "police", "police-b": "police"}
REGISTRARS = enrolment.Registrars(("centre", "police-a"))
NOTICE = "lianfang.v1.SuspiciousAccountNotice"


class FixedClock:
    """A clock that a test sets."""

    def __init__(self, at_ms: int = NOW_MS) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.at_ms / 1000


class SeededRandomness:
    """Bytes from a seed."""

    def __init__(self, seed: str) -> None:
        self._seed, self._count = seed.encode(), 0

    def bytes(self, count: int) -> bytes:
        out = b""
        while len(out) < count:
            self._count += 1
            out += sha256(self._seed + self._count.to_bytes(8, "big")).digest()
        return out[:count]


class Lazy(dict[str, KeyService]):
    """Starts a key service when a test first asks for it."""

    def __init__(self, start: Callable[[str], KeyService]) -> None:
        super().__init__()
        self._start = start

    def __missing__(self, agency: str) -> KeyService:
        return self._start(agency)


@dataclass
class House:
    """Key services of several agencies, each with a log of its own: a list of leaves."""

    root: Path
    clock: FixedClock = field(default_factory=FixedClock)
    logs: dict[str, list[bytes]] = field(default_factory=dict)
    document: bytes = b""
    policy: bytes = b""

    def __post_init__(self) -> None:
        self.services = Lazy(self.start)

    def start(self, agency: str) -> KeyService:
        """Start (again) an agency's key service."""
        held = self.services.pop(agency, None)
        if held is not None:
            held.close()
        log = self.logs.setdefault(agency, [])
        randomness = SeededRandomness(f"{agency} {len(log)} {self.clock.at_ms}")

        def read(index: int) -> bytes | None:
            return log[index] if 0 <= index < len(log) else None

        service = self.services[agency] = KeyService(self.root / agency, self.clock, randomness, read)
        return service

    def close(self) -> None:
        for service in self.services.values():
            service.close()

    @property
    def directory(self) -> Directory:
        return Directory.load(self.document, pinned=None, now_ms=self.clock.at_ms)

    def sign(self, kind: str, body: bytes, *signers: str) -> bytes:
        return enrolment.put_together(kind, body, [enrolment.sign(self.services[name], kind, body) for name in signers])

    def body(self, serial: int = 1, previous: bytes = b"", change: Callable | None = None) -> bytes:
        """A directory body; `change` may alter the members first."""
        members = [enrolment.member(self.services[name].public_keys(), kind) for name, kind in AGENCIES.items()]
        if change is not None:
            changed = change(members)
            members = changed if isinstance(changed, list) else members
        return enrolment.directory_body(members, serial, previous, self.clock.at_ms, REGISTRARS)

    def commit(self, agency: str, entry: leaf_pb2.Leaf) -> int:
        self.logs[agency].append(leaf_format.encode(entry))
        return len(self.logs[agency]) - 1


def build(root: Path, at_ms: int = NOW_MS) -> House:
    """Make a federation: five agencies, directory and bundle signed by centre and police-a."""
    house = House(root, FixedClock(at_ms))
    for name in AGENCIES:
        KeyService.create(root / name, name, house.clock, SeededRandomness(f"keys of {name}"))
    house.document = house.sign("directory", house.body(), "centre", "police-a")
    policy = build_body(POLICY, 1, b"", at_ms - 1000, at_ms + 90 * 86_400_000)
    house.policy = house.sign("policy", policy, "centre", "police-a")
    for name in AGENCIES:
        house.services[name].install_directory(house.document)
        house.services[name].install_policy(house.policy)
    return house


def prekey_of(house: House, agency: str) -> X25519PrivateKey:
    """An agency's newest private prekey."""
    prekeys = house.services[agency]._prekeys
    return prekeys.private(prekeys.newest().key_id, x_wing=False)


def copy_of(template: House, root: Path) -> House:
    """The same federation in a directory of its own; the template must be closed."""
    for name in AGENCIES:
        shutil.copytree(template.root / name, root / name)
    return House(root, document=template.document, policy=template.policy)


def notice(marker: str = "622848001") -> notice_pb2.SuspiciousAccountNotice:
    """A notice with all its fields."""

    def account(number: str) -> common_pb2.AccountRef:
        return common_pb2.AccountRef(number=number)

    return notice_pb2.SuspiciousAccountNotice(
        case_context=common_pb2.CaseContext(purpose="early_warning", legal_basis="ATF18", no_tipping_off=True),
        account=account(marker),
        holder=common_pb2.PersonRef(name=f"holder of {marker}", id_number="110101199003070011"),
        holder_phone=common_pb2.PhoneRef(e164="+8613800138000"),
        features=[common_pb2.CodedValue(scheme="feature", code="F1")],
        score=87,
        opening_place="Changsha",
        balance=common_pb2.Money(minor_units=123456, currency="CNY"),
        transactions=[notice_pb2.TransactionRecord(counterparty=account(f"payee of {marker}"), channel="app")],
        next_hops=[account(f"hop of {marker}")],
        device_addresses=["10.1.2.3"],
        narrative=f"story of {marker}",
    )


AUDIENCES = {
    "CASE_META": frozenset({"police-a", "centre"}),
    "RISK": frozenset({"police-a", "centre"}),
    "ACCOUNT_ID": frozenset({"police-a", "police-b"}),
    "IDENTITY": frozenset({"police-a"}),
    "PHONE_ID": frozenset({"police-a"}),
    "CONTACT": frozenset({"police-a"}),
    "MONEY_FLOW": frozenset({"police-a", "police-b"}),
    "BALANCE": frozenset({"police-a", "police-b", "centre"}),
    "DEVICE_NET": frozenset({"police-a"}),
    "NARRATIVE": frozenset({"police-a"}),
}
"""Four compartments: who reads what is policy's to say; here it is chosen to make them differ."""


def seal_request(number: int = 1, message: notice_pb2.SuspiciousAccountNotice | None = None, **changes) -> SealRequest:
    """A request to seal a notice for three recipients."""
    made = SealRequest(
        message_id=sha256(b"message %d" % number).digest()[:16],
        type_name=NOTICE,
        recipients=("centre", "police-a", "police-b"),
        lane="normal",
        sent_at_ms=NOW_MS,
        expires_at_ms=NOW_MS + 86_400_000,
        policy_serial=1,
        correlation_id=sha256(b"message %d" % number).digest()[:16],
        causation_id=b"",
        body=(message or notice(f"62284800{number}")).SerializeToString(),
        compartments=compartments(AUDIENCES),
        inline_grant=True,
    )
    return replace(made, **changes)


def ask(parsed: ParsedEnvelope, name: str, **changes) -> Request:
    """The question whether police-a's investigator may open a class."""
    made = Request(
        point="open",
        action="open",
        agency="police-a",
        agency_type="police",
        sender=parsed.header.sender,
        sender_type="bank",
        message_type="SuspiciousAccountNotice",
        now_ms=NOW_MS,
        field_class=name,
        purpose="early_warning",
        legal_basis="ATF18",
        sealed_purpose="early_warning",
        roles=("investigator",),
        case_present=True,
        case_status="filed",
        on_team=True,
        bundle_serial=1,
    )
    return replace(made, **changes)


@dataclass(frozen=True)
class Ticket:
    """An opening ready to be redeemed: its entry, not yet committed, and the request."""

    entry: leaf_pb2.Leaf
    request: OpenRequest


def ticket(house: House, parsed: ParsedEnvelope, classes: tuple[str, ...], token: bytes = b"t" * 32, **asked) -> Ticket:
    """An opening by police-a as bus/opening.py would make it."""
    context = canonical([ask(parsed, name, **asked) for name in classes])
    entry = leaf_pb2.Leaf(
        at_ms=house.clock.at_ms,
        kind=leaf_pb2.KIND_RECEIPT,
        action=leaf_pb2.ACTION_OPEN,
        agency="police-a",
        policy_serial=1,
        policy_digest=sha256(federation_pb2.PolicyBundle.FromString(house.policy).body).digest(),
        decision=leaf_pb2.DECISION_PERMIT,
        actor_roles=["investigator"],
        purpose="early_warning",
        legal_basis="ATF18",
        exchange=parsed.header.message_id,
        message_digest=parsed.payload_sha256,
        message_type=parsed.header.type,
        classes_requested=list(classes),
        classes_released=list(classes),
        token_digest=sha256(token).digest(),
        context_digest=sha256(context).digest(),
    )
    return Ticket(entry, OpenRequest(parsed.payload, classes, len(house.logs["police-a"]), token, context))
