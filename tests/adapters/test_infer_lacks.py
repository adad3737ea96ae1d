"""What a message demands and no column fills is named by `map infer`, with a cure, and completing it makes the rows pass."""

import json

import pytest

from adapters.catalogue import load
from adapters.convert import convert
from adapters.guesses import Guess, Stated
from adapters.infer import infer
from adapters.infer_lacks import lack_lines, lacks_of
from adapters.known import vocabulary
from adapters.summary import Tally
from schemas import checks, registry
from tests.adapters.files import notice

CHINA = Stated("Asia/Shanghai", "CNY", "CN")
NOTICE = "SuspiciousAccountNotice"
ROWS = "账号,余额,why\n6299990000001000011,12.00,2001\n6299990000001000029,13.00,9999\n".encode()


def lacking(proposal):
    """Return what is told to be lacking, by field."""
    return {item["field"]: item["cure"] for item in proposal.as_json()["lacking"]}


def made(toml, data):
    """Return how many rows a profile makes messages of, and how many it holds back."""
    tally = Tally()
    list(tally.over(convert(load(toml), data)))
    return tally.messages, tally.refused_count


def test_a_required_field_without_a_column_is_named_and_its_entry_can_be_completed():
    """As it is proposed the profile refuses every row; with the entry uncommented and a column named, every row passes."""
    proposal = infer(ROWS, NOTICE, "mine", CHINA)
    assert list(lacking(proposal)) == ["features"]
    assert "which column holds it" in lacking(proposal)["features"]
    assert made(proposal.toml, ROWS) == (0, 2)
    entry = proposal.toml[proposal.toml.index('# [field."features"]') :]
    whole = (
        proposal.toml.replace(entry, entry.replace("# ", ""))
        .replace('from = "?"', 'from = "features"')
        .replace('scheme = "?"', 'scheme = "CN-FEATURE"')
        .replace("# unknown = [", "features = [")
        .replace('required = ["account"]', 'required = ["account", "features"]')
    )
    assert made(whole, ROWS) == (2, 0)


def test_a_file_that_has_everything_lacks_nothing():
    """No list, and no word of it in the profile."""
    proposal = infer(notice(), NOTICE, "mine", CHINA)
    assert lacking(proposal) == {}
    assert "demands" not in proposal.toml


def test_a_field_that_is_only_commented_out_is_lacking_and_leads_to_its_comments():
    """Two columns claim to be the account: neither is written, and the cure names both; no second entry is made of it."""
    data = "账号,卡号,余额\n6299990000001000011,6299990000001000029,12.00\n".encode()
    proposal = infer(data, NOTICE, "mine", CHINA)
    assert lacking(proposal)["account"] == "look at what is commented out: 账号, 卡号"
    assert proposal.toml.count('# [field."account"]') == 2


def test_a_tree_lacks_in_the_same_way():
    """Paths of XML and JSON: the entry stands under [record.field]."""
    data = json.dumps({"account": "6299990000001000011", "balance": "12.00"}).encode()
    proposal = infer(data, NOTICE, "mine", CHINA)
    assert "which path holds it" in lacking(proposal)["features"]
    assert '# [record.field."features"]' in proposal.toml
    load(proposal.toml)


@pytest.mark.parametrize("message", [registry.bare_name(name) for name in registry.bodies()])
def test_of_every_message_what_it_demands_is_named_and_only_commented(message):
    """All that an empty message is refused for by name, but what the sender adds; each with a cure, and each a comment."""
    lacks = lacks_of(message, (), vocabulary(message))
    demanded = {
        broken.path for broken in checks.violations(registry.body_type(message)()) if broken.rule.endswith(".required")
    }
    assert {lack.field for lack in lacks} == demanded - {"case_context", "staff", "provenance"}
    assert all(lack.cure and "?" not in lack.cure for lack in lacks)
    assert all(line.startswith("#") or not line for line in lack_lines(lacks, "field"))


@pytest.mark.parametrize("message", [registry.bare_name(name) for name in registry.bodies()])
def test_what_is_written_is_not_lacking(message):
    """Whatever kind of field it is: list, bytes, number, part of another."""
    known = vocabulary(message)
    written = [Guess(field.path, field, 1.0, "") for field in known.fields]
    paths = {guess.known.path for guess in written}
    lacks = {lack.field for lack in lacks_of(message, written, known)}
    assert not any(lack == path or lack.startswith(f"{path}.") for lack in lacks for path in paths)
