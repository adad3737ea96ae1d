"""Releases that differ in what class a field has: old writers and new readers, new writers and old readers."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from bus.sealing import boxes, split, verify
from bus.sealing.envelope import parse_payload
from bus.sealing.errors import CannotOpen, EnvelopeRefused
from schemas import field_classes, plans, registry
from schemas.v1 import envelope_pb2, notice_pb2
from tests.keyservice.house import NOTICE, NOW_MS, House, seal_request
from tests.sealing.attacker import change_header, copy, resign, sealed_of

SCORE = notice_pb2.SuspiciousAccountNotice.DESCRIPTOR.fields_by_name["score"].number
NOW = dict(plans.current(NOTICE))
Fields = notice_pb2.SuspiciousAccountNotice


@pytest.fixture
def history(monkeypatch):
    """Say which plans of the notice were released before; this installation's own is the next."""

    def set_to(*released: Mapping[int, str]) -> None:
        monkeypatch.setattr(plans, "released", lambda name: released if name == NOTICE else ())
        monkeypatch.setattr(
            plans,
            "number",
            lambda name: len(released) - (released[-1:] == (plans.current(name),)) if name == NOTICE else 0,
        )

    return set_to


def _moved(
    house: House, data: bytes, from_box: int, to_box: int, class_plan: int, public: bytes = b""
) -> envelope_pb2.Sealed:
    """A message of bank-a in which `data`, a field, stands in another compartment: as a writer of another release split it."""
    sealed = sealed_of(house.services["bank-a"].seal([seal_request(1)])[0])
    parsed = parse_payload(sealed.SerializeToString(deterministic=True))
    held = house.services["bank-a"]._grants.held(parsed.header.grant_id)
    made = change_header(copy(sealed), lambda header: setattr(header, "class_plan", class_plan))
    made.public_body = public
    before = held.place(parsed)
    after = boxes.Place(made.header, public, before.salt, before.sequence)
    for box in made.boxes:
        number = box.compartment
        plain = boxes.open_box(held.keys[number], number, before, box.ciphertext)
        if number == from_box:
            assert data in plain
            plain = plain.replace(data, b"")
        if number == to_box:
            plain = Fields.FromString(plain + data).SerializeToString(deterministic=True)
        box.ciphertext = boxes.close(held.keys[number], number, after, plain)
    return made


def _take(house: House, sealed: envelope_pb2.Sealed, agency: str = "police-a"):
    parsed = verify.verify(resign(house, sealed), house.directory, NOW_MS)
    assert house.services[agency].admit(parsed.payload) == ""
    return house.services[agency]._grants.open(parsed)


def _box_of(house: House, name: str) -> int:
    sealed = sealed_of(house.services["bank-a"].seal([seal_request(9)])[0])
    grant = boxes.parse_grant(sealed.inline_grant)
    return next(
        item.compartment for item in grant.body.compartments if name in boxes.classes_of(grant, item.compartment)
    )


NARRATIVE = Fields(narrative="story of 622848001").SerializeToString()
STORY = Fields.DESCRIPTOR.fields_by_name["narrative"].number
RISING = Fields(score=87).SerializeToString()


def test_an_old_writers_message_is_read_by_its_own_plan(house: House, history):
    """A field that has risen since the writer's release stands in its old box, is taken, and opens under its class of today."""
    old = NOW | {STORY: "RISK"}
    history(old)
    attack_or_not = _moved(house, NARRATIVE, _box_of(house, "NARRATIVE"), _box_of(house, "RISK"), class_plan=0)
    contents = _take(house, attack_or_not)
    assert contents.message().narrative == "story of 622848001"
    assert contents.fragments({"RISK"}).get("RISK", b"").find(b"story") < 0, "today it is no RISK"
    assert contents.fragments({"NARRATIVE"}) == {"NARRATIVE": NARRATIVE}
    payload = attack_or_not.SerializeToString(deterministic=True)
    assert "NARRATIVE" in house.services["police-a"].inspect(payload).classes, (
        "policy is asked about its class of today"
    )


def test_an_old_writer_is_held_to_the_plan_that_it_had(house: House, history):
    """A plan that never had the field in that class does not excuse it: a sender smuggles nothing by naming an old one."""
    history(NOW | {SCORE: "OPEN"})
    smuggled = _moved(house, NARRATIVE, _box_of(house, "NARRATIVE"), _box_of(house, "RISK"), class_plan=0)
    with pytest.raises(CannotOpen):
        _take(house, smuggled)


def test_a_field_that_was_open_and_has_risen_is_taken_from_an_old_writer(house: House, history):
    """What an old release sent in the clear is taken from it; from a writer of this release it is refused."""
    history(NOW | {SCORE: "OPEN"})
    risk = _box_of(house, "RISK")
    assert _take(house, _moved(house, RISING, risk, 0, class_plan=0, public=RISING)) is not None
    with pytest.raises(EnvelopeRefused) as caught:
        _take(house, _moved(house, RISING, risk, 0, class_plan=1, public=RISING))
    assert caught.value.code == "LF-SEAL-PUBLIC-BODY"


def test_an_old_reader_takes_a_field_that_has_risen_since(house: House, history):
    """A later release's writer puts a field into a higher class's box: the old reader takes it, as the class it knows."""
    history(NOW)
    contents = _take(house, _moved(house, RISING, _box_of(house, "RISK"), _box_of(house, "NARRATIVE"), class_plan=5))
    assert contents.message().score == 87
    assert contents.fragments({"RISK"})["RISK"].find(RISING) >= 0


@pytest.mark.parametrize(
    ("data", "from_name", "to_name"), [(NARRATIVE, "NARRATIVE", "RISK"), (NARRATIVE, "NARRATIVE", "BALANCE")]
)
def test_no_later_plan_lets_a_field_fall(house: House, history, data: bytes, from_name: str, to_name: str):
    """A sender who names a plan that we do not know puts nothing into a box of a lower class: no release may do that."""
    history(NOW)
    with pytest.raises(CannotOpen):
        _take(house, _moved(house, data, _box_of(house, from_name), _box_of(house, to_name), class_plan=5), "police-a")


def test_the_rule_of_rising_is_what_stops_smuggling_under_a_later_plan(house: House, history, monkeypatch):
    """Without that rule whoever names a later plan shows the centre a narrative inside its own compartment."""
    history(NOW)
    attack = _moved(house, NARRATIVE, _box_of(house, "NARRATIVE"), _box_of(house, "RISK"), class_plan=5)
    with monkeypatch.context() as weakened:
        weakened.setattr(plans, "may_become", lambda *_: True)
        assert _take(house, attack, "centre").message().narrative
    with pytest.raises(CannotOpen):
        _take(house, attack, "centre")


def test_an_old_reader_takes_what_it_does_not_know_and_shows_none_of_it(house: House, history):
    """A field that a later release added is taken, seen by nobody here, and stops the message only under our own plan."""
    history(NOW)
    new = b"\xfa\x7f\x01x"
    for class_plan, taken in ((5, True), (0, False)):
        sealed = sealed_of(house.services["bank-a"].seal([seal_request(1)])[0])
        parsed = parse_payload(sealed.SerializeToString(deterministic=True))
        held = house.services["bank-a"]._grants.held(parsed.header.grant_id)
        made = change_header(copy(sealed), lambda header, at=class_plan: setattr(header, "class_plan", at))
        before, after = held.place(parsed), boxes.Place(made.header, b"", parsed.header.salt, parsed.header.sequence)
        for box in made.boxes:
            plain = boxes.open_box(held.keys[box.compartment], box.compartment, before, box.ciphertext)
            more = new if box.compartment == 1 else b""
            box.ciphertext = boxes.close(held.keys[box.compartment], box.compartment, after, plain + more)
        if not taken:
            with pytest.raises(CannotOpen):
                _take(house, made)
            continue
        contents = _take(house, made)
        assert not any(new in data for data in contents.fragments(set(field_classes.CLASSES)).values())
        twice = made.boxes[0]
        plain = boxes.open_box(held.keys[1], 1, after, twice.ciphertext)
        twice.ciphertext = boxes.close(
            held.keys[1], 1, after, new + plain
        )  # out of order: it could be read in two ways
        with pytest.raises(CannotOpen):
            _take(house, made)


def test_a_message_says_by_which_plan_it_was_split(house: House, history):
    """The first plan costs no byte; the next is named in the header, which is signed and bound to every box."""
    service = house.services["bank-a"]
    history(NOW)
    first = sealed_of(service.seal([seal_request(1)])[0])
    assert _take(house, first).message().score == 87
    history(NOW | {SCORE: "OPEN"})
    second = sealed_of(service.seal([seal_request(1, inline_grant=False)])[0])
    assert [
        parse_payload(item.SerializeToString(deterministic=True)).header.class_plan for item in (first, second)
    ] == [0, 1]
    assert _take(house, second).message().score == 87
    with pytest.raises(CannotOpen):
        _take(house, change_header(second, lambda header: setattr(header, "class_plan", 0)))


@pytest.mark.parametrize(
    ("before", "after", "may"),
    [
        ("RISK", "RISK", True),
        ("OPEN", "RISK", True),
        ("RISK", "NARRATIVE", True),
        ("ACCOUNT_ID", "IDENTITY", True),
        ("RISK", "OPEN", False),
        ("NARRATIVE", "RISK", False),
        ("ACCOUNT_ID", "PHONE_ID", False),
        ("NARRATIVE", "VICTIM", False),
    ],
)
def test_a_field_may_rise_and_never_fall_nor_move_sideways(before: str, after: str, may: bool):
    """Sideways is another audience for what was sent before, so it is as bad as falling."""
    assert plans.may_become(before, after) is may


def test_the_gate_finds_a_field_that_has_fallen(monkeypatch, capsys):
    """The check of the schemas names type, field and both classes; as they stand, nothing has fallen."""
    assert plans.main(["--check"]) == 0
    higher = {NOTICE: ({**NOW, SCORE: "NARRATIVE"},), "lianfang.v1.GoneSince": ({1: "RISK"},)}
    monkeypatch.setattr(plans, "_released", lambda: higher)
    assert plans.main(["--check"]) == 1
    assert f"{NOTICE}, field {SCORE}: RISK does not stand above NARRATIVE" in capsys.readouterr().out


def test_releasing_adds_plans_and_changes_none(monkeypatch, tmp_path: Path):
    """Taking the present plans as released keeps those before, adds one where it differs, and adds nothing twice."""
    file = tmp_path / "plans.json"
    old = {NOTICE: [{str(number): name for number, name in (NOW | {SCORE: "OPEN"}).items()}]}
    file.write_text(json.dumps(old))
    monkeypatch.setattr(plans, "FILE", file)
    plans._released.cache_clear()
    try:
        for _ in range(2):
            assert plans.main([]) == 0
            plans._released.cache_clear()
            held = json.loads(file.read_text())
            assert held[NOTICE][0] == old[NOTICE][0]
            assert [len(item) for item in held.values()] == [1 + (name == NOTICE) for name in held]
        assert set(held) == set(registry.bodies())
    finally:
        plans._released.cache_clear()
    assert split.is_canonical(NOTICE, ("RISK",), RISING)
