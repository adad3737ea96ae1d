"""`lianfang keys` as a person types it: what is listed, what is refused to whom, and that a rehearsal does nothing."""

from tests.cli.conftest import Desks


def test_list_names_every_key_and_shows_none(desks: Desks) -> None:
    """Ids, kinds, states and ages; not a byte of a key, private or public."""
    states = desks.at("bank-a", "keys", "list", "--json").value
    assert {"identity", "prekey", "log", "witness"} <= {state["kind"] for state in states}
    assert set(states[0]) == {"key_id", "kind", "suites", "state", "not_before_ms", "not_after_ms", "uses", "age_s"}
    assert all(len(state["key_id"]) <= 32 for state in states)
    shown = desks.at("bank-a", "keys", "list").out
    assert "identity" in shown
    assert all(state["key_id"] in shown for state in states)


def test_who_is_no_key_officer_changes_nothing(desks: Desks) -> None:
    """An analyst's rotation, revocation and retirement are refused by policy, with the rule; the keys are as before."""
    before = [
        state["key_id"] for state in desks.at("bank-a", "keys", "list", "--json").value if state["kind"] != "epoch"
    ]
    for words in (("rotate", "prekeys"), ("rotate", "epochs"), ("revoke", before[0]), ("retire", before[0])):
        done = desks.at("bank-a", "keys", *words, "--json")
        assert done.code == 4, words
        assert "SD-43" in done.out
    after = [
        state["key_id"] for state in desks.at("bank-a", "keys", "list", "--json").value if state["kind"] != "epoch"
    ]
    assert after == before


def test_an_entry_goes_with_the_identity_only(desks: Desks, tmp_path) -> None:
    """--out with prekeys, or an identity without it, is a mistake of usage."""
    assert desks.at("bank-a", "keys", "rotate", "prekeys", "--out", str(tmp_path / "x")).code == 2
    assert desks.at("bank-a", "keys", "rotate", "identity").code == 2
