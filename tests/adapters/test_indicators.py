"""STIX bundles and MISP events: indicators both ways, with their labels, sightings and relations; and patterns of STIX."""

import json
import string
from contextlib import suppress
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import read_misp, read_stix
from adapters.back import bring_back
from adapters.convert import convert
from adapters.detect import identify
from adapters.errors import FileRefused, RowRefused
from adapters.model import Converted, HeldBack
from adapters.stix_pattern import COMPARISONS_MAX, DEPTH_MAX, PATTERN_BYTES_MAX, Comparison, comparisons, written
from schemas import checks
from schemas.v1 import common_pb2, indicator_pb2, transaction_pb2
from tests.adapters.files import ACCOUNT, CONTEXT, SAMPLES, profile, read

STIX, MISP = "stix-bundle", "misp-event"
INDICATOR = {
    "type": "indicator",
    "spec_version": "2.1",
    "id": "indicator--0c7c82bd-1b1f-4e5a-9a9e-6a3f6d7b1c01",
    "created": "2026-11-20T02:00:01.250Z",
    "modified": "2026-11-20T02:00:01.250Z",
    "pattern": "[url:value = 'https://pay.example/login']",
    "pattern_type": "stix",
    "valid_from": "2026-11-20T02:00:00Z",
}
EVENT = {"uuid": "6f1d5d9c-0d6e-4c7a-9b1e-2f5c8a7e1001", "info": "Demo", "date": "2026-11-20", "distribution": "0"}
UUIDS = [f"6f1d5d9c-0d6e-4c7a-9b1e-2f5c8a7e10{number:02}" for number in range(10, 20)]


def bundle(*objects: dict, **changes: object) -> bytes:
    """Return a bundle: of given objects, or of one indicator with named members changed."""
    found = list(objects) or [INDICATOR | changes]
    return json.dumps(
        {"type": "bundle", "id": "bundle--5d0092c5-5f74-4287-9642-33f4c354e56d", "objects": found}
    ).encode()


def event(attributes: list[dict] = (), objects: list[dict] = (), **changes: object) -> bytes:
    """Return an event."""
    return json.dumps({"Event": {**EVENT, **changes, "Attribute": list(attributes), "Object": list(objects)}}).encode()


def attribute(kind: str, value: str, **changes: object) -> dict:
    """Return an attribute."""
    return {"uuid": UUIDS[0], "type": kind, "category": "Other", "to_ids": True, "timestamp": "1795140100", "value": value, **changes}  # fmt: skip


def only(data: bytes, name: str) -> Converted:
    """Return the one message of a file."""
    (found,) = read(data, name)
    assert isinstance(found, Converted), found
    checks.require_valid_record(found.message)
    return found


def golden(name: str, case: str) -> bytes:
    """Return a golden file."""
    return (resources.files("adapters") / "profiles" / f"{name}.golden" / case).read_bytes()


def test_a_pattern_is_read_whole():
    """Paths with quotes and lists, sets, negation, brackets, qualifiers and typed values: each comparison in its order."""
    found = comparisons(
        "([file:hashes.'SHA-256' = 'ab' AND NOT (file:size > 10 OR EXISTS file:name)] FOLLOWEDBY "
        "[email-message:body_multipart[*].body_raw_ref.name MATCHES '^a\\\\.exe$']) WITHIN 600 SECONDS OR "
        "[ipv4-addr:value NOT IN ('1.1.1.1', '2.2.2.2')] REPEATS 5 TIMES START t'2026-01-01T00:00:00Z' STOP t'2026-02-01T00:00:00Z'"
    )
    assert found == (
        Comparison("file:hashes.'SHA-256'", "=", ("ab",)),
        Comparison("file:size", ">", ("10",), negated=True),
        Comparison("file:name", "EXISTS", (), negated=True),
        Comparison("email-message:body_multipart[*].body_raw_ref.name", "MATCHES", ("^a\\.exe$",)),
        Comparison("ipv4-addr:value", "IN", ("1.1.1.1", "2.2.2.2"), negated=True),
    )


@pytest.mark.parametrize(
    "text",
    ["", "[", "url:value = 'x'", "[url:value = ]", "[url:value = 'x'", "[url:value = 'x'] ]", "[url:value ~ 'x']", "[url:value = 'x']]",
     "[url:value = 'x' AND]", "[= 'x']", "[url:value = 'x] ", "[url:value = 'a\\x']", "[url:value IN 'x']", "[url:value IN ()]",
     "[url:value = 'x'] WITHIN 5", "[url:value = 01]", "[url:value LIKE]"],
)  # fmt: skip
def test_what_is_no_pattern_is_refused(text):
    """Half a pattern is never taken for one."""
    with pytest.raises(RowRefused) as error:
        comparisons(text)
    assert error.value.code == "LF-ROW-STIX-PATTERN"


@given(st.text(max_size=80))
def test_a_value_comes_back_out_of_the_pattern_that_was_made_of_it(value):
    """Quotes and backslashes in a value neither end it nor change it."""
    assert comparisons(written("url:value", value)) == (Comparison("url:value", "=", (value,)),)


@given(st.text("[]()'=, ANDORNOTurl:vae\\" + string.digits, max_size=60))
def test_no_text_is_more_than_a_pattern_or_a_refusal(text):
    """Whatever stands there, the reader ends with comparisons or a refusal."""
    with suppress(RowRefused):
        assert all(one.path for one in comparisons(text))


def test_a_pattern_has_limits():
    """So many bytes, comparisons and brackets are read, and no more."""
    longest = written("url:value", "x" * (PATTERN_BYTES_MAX - len(written("url:value", ""))))
    most = f"[{' OR '.join(['a:b = 1'] * COMPARISONS_MAX)}]"
    deepest = f"{'(' * (DEPTH_MAX - 2)}[a:b = 1]{')' * (DEPTH_MAX - 2)}"
    for good, bad in (
        (longest, longest.replace("x'", "xx'")),
        (most, most.replace("]", " OR a:b = 1]")),
        (deepest, f"(({deepest}))"),
    ):
        assert comparisons(good)
        with pytest.raises(RowRefused):
            comparisons(bad)


def test_values_of_a_pattern_stand_in_the_fields_of_their_class():
    """Each value that the pattern says stands in its field; what it denies or only matches stands in the pattern alone."""
    pattern = (
        f"[bank-account:account_number = '{ACCOUNT}' AND phone-number:number = '+8619900000101'] OR "
        "[domain-name:value IN ('a.example', 'b.example')] OR [file:hashes.MD5 = 'abcd'] OR [email-addr:value = 'a@b.example'] OR "
        "[cryptocurrency-wallet:address = 'TDemo1'] OR [url:value != 'https://no.example'] OR [ipv4-addr:value LIKE '10.%']"
    )
    found = only(bundle(pattern=pattern), STIX)
    message = found.message
    assert [account.number for account in message.accounts] == [ACCOUNT]
    assert [phone.e164 for phone in message.phones] == ["+8619900000101"]
    assert list(message.network_addresses) == ["a.example", "b.example"]
    assert list(message.file_hashes) == ["MD5:abcd"]
    assert list(message.emails) == ["a@b.example"]
    assert [one.address for one in message.crypto_addresses] == ["TDemo1"]
    assert list(message.urls) == []
    assert message.pattern == pattern
    assert found.warnings == ()


def test_lineage_of_a_value_leads_to_its_pattern():
    """The byte range of a value out of a pattern is the pattern's."""
    data = bundle()
    (item,) = (item for item in only(data, STIX).lineage if item.field == "urls")
    assert json.loads(data[item.start : item.end]) == INDICATOR["pattern"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"pattern": "[url:value = 'https://pay.example/login'"}, "LF-ROW-STIX-PATTERN"),
        ({"pattern": ""}, "LF-ROW-MISSING"),
        ({"id": "indicator-1"}, "LF-ROW-PATTERN"),
        ({"confidence": 101}, "LF-ROW-PATTERN"),
        ({"revoked": "yes"}, "LF-ROW-BOOLEAN"),
        ({"valid_from": "2026-02-30T00:00:00Z"}, "LF-ROW-DATE"),
        ({"pattern": "[bank-account:account_number = '6.22E+18']"}, "LF-ROW-LOSSY-NUMBER"),
        (
            {"object_marking_refs": ["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"]},
            "LF-ROW-REPEATED",
        ),
    ],
)  # fmt: skip
def test_an_indicator_that_cannot_be_meant_is_held_back(changes, code):
    """A broken pattern, none, no id, two traffic lights: the indicator is held back, and its neighbour is read."""
    bad, good = read(bundle(INDICATOR | changes, INDICATOR), STIX)
    assert isinstance(bad, HeldBack), bad
    assert bad.code == code
    assert isinstance(good, Converted)


def test_a_pattern_in_another_language_is_carried_as_it_stands():
    """A Sigma or Snort rule is no STIX pattern and is not read as one."""
    message = only(bundle(pattern="alert tcp any any -> any any", pattern_type="snort"), STIX).message
    assert (message.pattern, message.pattern_type.code) == ("alert tcp any any -> any any", "snort")


@pytest.mark.parametrize(
    ("ref", "label"),
    [
        ("marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", "CLEAR"),
        ("marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", "GREEN"),
        ("marking-definition--f88d31f6-486f-44da-b317-01333bde0b82", "AMBER"),
        ("marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003", "AMBER+STRICT"),
        ("marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1", "RED"),
        ("marking-definition--11111111-1111-4111-8111-111111111111", ""),
    ],
)
def test_a_marking_is_the_label_for_people(ref, label):
    """The ids that the standard fixes are Traffic Light labels; another marking stays among the markings."""
    message = only(bundle(object_marking_refs=[ref]), STIX).message
    assert message.case_context.tlp == label
    assert list(message.markings) == [ref]
    back = json.loads(bring_back(profile(STIX), message, CONTEXT).data)
    assert back["objects"][0]["object_marking_refs"] == [ref]


def test_a_message_that_stix_never_saw_becomes_an_indicator():
    """A message of the bus has no pattern: one is made of its values, with a label, a creator and a sighting beside it."""
    message = indicator_pb2.ThreatIndicator(
        indicator_id="6f1d5d9c-0d6e-4c7a-9b1e-2f5c8a7e1001", creator="Demo bank", sightings=7, network_addresses=["203.0.113.9", "pay.example"],
        phones=[common_pb2.PhoneRef(e164="+8619900000101", raw="+8619900000101", kind=common_pb2.PHONE_KIND_E164)],
    )  # fmt: skip
    message.case_context.tlp = "AMBER"
    message.created_at.CopyFrom(
        common_pb2.Instant(utc_ms=1795140001000, precision=common_pb2.TIME_PRECISION_SECOND, zone_source=1, zone="UTC")
    )
    back = bring_back(profile(STIX), message, CONTEXT)
    first, *others = json.loads(back.data)["objects"]
    assert first["id"] == "indicator--6f1d5d9c-0d6e-4c7a-9b1e-2f5c8a7e1001"
    assert first["pattern"] == (
        "[phone-number:number = '+8619900000101'] OR [ipv4-addr:value = '203.0.113.9'] OR [domain-name:value = 'pay.example']"
    )
    assert [one["type"] for one in others] == ["identity", "sighting"]
    assert others[1]["count"] == 7
    assert back.loss == ("indicator_id",)


def test_what_stix_demands_is_not_invented():
    """A message without a time, or without any value, becomes no indicator."""
    message = indicator_pb2.ThreatIndicator(indicator_id="x", name="nothing to look for")
    with pytest.raises(FileRefused) as error:
        bring_back(profile(STIX), message, CONTEXT)
    assert error.value.code == "LF-RENDER-INCOMPLETE"


def test_a_bundle_comes_back_but_for_what_is_named():
    """Every message of the golden bundle that is an indicator comes back whole, sightings and relations with it."""
    found = [item for item in read(golden(STIX, "fraud-ring.json"), STIX) if isinstance(item, Converted)]
    indicators = [item.message for item in found if item.message.kind.code == "indicator"]
    assert [bring_back(profile(STIX), message, CONTEXT).loss for message in indicators] == [(), ()]
    first = indicators[0]
    assert (first.sightings, first.last_seen_at.raw, first.first_seen_at.raw[11:13]) == (
        15,
        "2026-11-20T09:30:00.5Z",
        "04",
    )
    assert [(one.kind, one.attribute) for one in first.objects] == [
        ("sighting", ""),
        ("sighting", ""),
        ("relationship", "indicates"),
    ]


def test_nothing_of_a_bundle_is_lost_in_silence():
    """What is no indicator and belongs to none is listed as not carried."""
    campaign = {"type": "campaign", "id": "campaign--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f", "name": "Demo"}
    found = only(bundle(campaign, INDICATOR), STIX)
    assert [warning.cause for warning in found.warnings] == [
        f"element /$/objects/{name} has no place in the message" for name in ("id", "name")
    ]
    with pytest.raises(FileRefused) as error:
        read(bundle(campaign), STIX)
    assert error.value.code == "LF-FILE-NO-RECORD"


@pytest.mark.parametrize(
    ("kind", "value", "field", "expected"),
    [
        ("domain|ip", "pay.example|203.0.113.9", "network_addresses", ["pay.example", "203.0.113.9"]),
        ("filename|sha256", "a.apk|abcd", "file_hashes", ["sha256:abcd"]),
        ("url", "https://pay.example", "urls", ["https://pay.example"]),
        ("email-src", "a@b.example", "emails", ["a@b.example"]),
    ],
)
def test_an_attribute_stands_in_the_field_of_its_class_and_comes_back(kind, value, field, expected):
    """Plain and composite types: each half in its field, and the attribute again as it was."""
    found = only(event([attribute(kind, value)]), MISP)
    assert list(getattr(found.message, field)) == expected
    back = bring_back(profile(MISP), found.message, CONTEXT)
    (again,) = json.loads(back.data)["Event"]["Attribute"]
    assert (again["type"], again["value"], again["uuid"], again["to_ids"]) == (kind, value, UUIDS[0], True)
    assert back.loss == ()


@pytest.mark.parametrize(
    ("own", "events", "label"),
    [
        ([], ["tlp:amber"], "AMBER"),
        (["tlp:red"], ["tlp:green"], "RED"),
        (["tlp:green", "TLP:AMBER"], [], "AMBER"),
        ([], ["tlp:white"], "CLEAR"),
        (["tlp:unclear"], [], ""),
    ],
)
def test_the_nearest_and_strictest_tag_is_the_label(own, events, label):
    """An attribute's own tag before its event's, and of two the stricter."""
    tags = [{"name": name} for name in own]
    data = event([attribute("url", "https://a.example", Tag=tags)], Tag=[{"name": name} for name in events])
    message = only(data, MISP).message
    assert message.case_context.tlp == label
    assert list(message.labels) == [*own, *events]


def test_a_transaction_is_a_movement_of_money():
    """The object transaction becomes a trace; its amount has the profile's currency, marked as assumed, or the one it names."""
    made = [
        {"uuid": uuid, "name": "transaction", "Attribute": [
            {"type": "text", "object_relation": "amount", "value": amount},
            {"type": "text", "object_relation": "transaction-number", "value": "T-1"},
        ]} for uuid, amount in zip(UUIDS, ("8,000.00", "EUR 12.50"), strict=False)
    ]  # fmt: skip
    found = [item.message for item in read(event(objects=made), MISP)]
    assert all(isinstance(message, transaction_pb2.TransactionTrace) for message in found)
    amounts = [message.transactions[0].amount for message in found]
    assert [(one.minor_units, one.currency, one.currency_assumed) for one in amounts] == [
        (800000, "CNY", True),
        (1250, "EUR", False),
    ]
    back = json.loads(bring_back(profile(MISP), found[0], CONTEXT).data)["Event"]["Object"][0]
    assert back["name"] == "transaction"
    assert {one["object_relation"]: one["value"] for one in back["Attribute"]} == {
        "amount": "8000.00",
        "transaction-number": "T-1",
    }


def test_objects_of_an_event_come_back():
    """A bank account with its bank, holder's name, balance and beneficiary; a person, of whom the object is not written."""
    found = [item.message for item in read(golden(MISP, "mule-accounts.json"), MISP) if isinstance(item, Converted)]
    loss = {
        message.kind.code: bring_back(profile(MISP), message, CONTEXT).loss
        for message in found
        if hasattr(message, "kind")
    }
    assert loss["bank-account"] == ("markings[0]",)
    assert all(path == "markings[0]" or path.startswith("parties[0]") for path in loss["person"])


def test_what_hangs_together_has_limits(monkeypatch):
    """A bundle that ties one object to very many, and an event with very many tags, are refused at once, not read for hours."""
    seen = {"type": "ipv4-addr", "id": "ipv4-addr--efcd5e80-570d-4131-b213-62cb18eaa6a8", "value": "198.51.100.3"}
    many = {
        "type": "observed-data",
        "id": "observed-data--b67d30ff-02ac-498a-92f9-32f845f448cf",
        "object_refs": [seen["id"]] * 8,
    }
    monkeypatch.setattr(read_stix, "PLACED_MAX", 8 * 4)
    assert len(only(bundle(many, seen), STIX).message.network_addresses) == 8
    tags = [{"name": "demo"}] * read_misp.TAGS_MAX
    assert identify(event([attribute("url", "https://a.example")], Tag=tags)).chosen
    monkeypatch.setattr(read_stix, "PLACED_MAX", 8 * 4 - 1)
    for data, name in (
        (bundle(many, seen), STIX),
        (event([attribute("url", "https://a.example")], Tag=[*tags, tags[0]]), MISP),
    ):
        with pytest.raises(FileRefused) as error:
            read(data, name)
        assert error.value.code == "LF-JSON-ELEMENTS"


@pytest.mark.parametrize(("folder", "name"), [("stix", STIX), ("misp", MISP)])
def test_every_sample_converts_or_says_why_not(folder, name):
    """Each sample is identified as what it is and gives valid messages, or is refused as holding no record."""
    files = sorted((SAMPLES / folder).glob("*.json"))
    if not files:
        pytest.skip("the samples are not on this machine")
    for file in files:
        data = file.read_bytes()
        if file.stem in ("new_misp_event", "sharing_groups"):
            with pytest.raises(FileRefused) as error:
                convert(profile(name), data)
            assert error.value.code == "LF-FILE-NO-RECORD", file.name
            continue
        chosen = identify(data).chosen
        assert chosen is not None, file.name
        assert chosen.profile == name, file.name
        found = list(convert(profile(name), data))
        assert found, file.name
        for item in found:
            assert isinstance(item, Converted), (file.name, item)
            checks.require_valid_record(item.message)
            bring_back(profile(name), item.message, CONTEXT)
