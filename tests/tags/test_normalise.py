"""One writing for one value: the vectors that other implementers get, and what holds for any text."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.tags import normalise as rules
from bus.tags.errors import TagRefused
from bus.tags.normalise import Value, normalise

HELD = json.loads((Path(rules.__file__).parent / "normalisation.json").read_text())
VECTORS = HELD["vectors"]
WIDE = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['kind']} {vector['input'][:12]!a}")
def test_the_vectors_that_we_ship(vector: dict) -> None:
    """Each input becomes what the vector says, or is refused under the code and for the reason that it says."""
    if "normalised" in vector:
        made = normalise(vector["kind"], vector["input"], vector.get("region", "CN"))
        assert (made.kind, made.text) == (vector["kind"], vector["normalised"])
    else:
        with pytest.raises(TagRefused) as refused:
            normalise(vector["kind"], vector["input"])
        assert (refused.value.code, refused.value.facts["reason"]) == (vector["refused"], vector["why"])


def test_the_vectors_speak_of_these_rules() -> None:
    """The file names the version of the rules that it is about, has each kind, and refuses at least as often as one in five."""
    assert HELD["rules"] == rules.RULES
    assert {vector["kind"] for vector in VECTORS} == set(rules.KINDS)
    assert sum("refused" in vector for vector in VECTORS) * 5 >= len(VECTORS)


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if "normalised" in vector], ids=lambda v: v["kind"])
def test_a_normalised_value_stays_as_it_is(vector: dict) -> None:
    """What a rule has made, it makes again of what it has made."""
    assert normalise(vector["kind"], vector["normalised"]).text == vector["normalised"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from([("account", "6222020200012345678"), ("id", "11010519491231002X"), ("phone", "13800138000")]),
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from([" ", "\u3000", "\u00a0", "\u200b"])), max_size=5),
    st.booleans(),
)
def test_blanks_and_wide_digits_change_nothing(
    given_value: tuple[str, str], blanks: list[tuple[int, str]], wide: bool
) -> None:
    """Blanks of any kind anywhere, and digits of double width, lead to the same writing."""
    kind, text = given_value
    typed = text.translate(WIDE) if wide else text
    for place, blank in blanks:
        typed = typed[:place] + blank + typed[place:]
    assert normalise(kind, typed) == normalise(kind, text)


def tried(kind: str, text: str) -> tuple[Value | None, str]:
    """Return what a text becomes, or what its refusal says."""
    try:
        return normalise(kind, text), ""
    except TagRefused as refused:
        return None, f"{refused.cause} {refused.cure} {refused.facts}"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(rules.KINDS)), st.text(max_size=40))
def test_any_text_is_a_value_or_refused_without_being_repeated(kind: str, text: str) -> None:
    """Whatever somebody types becomes a value that stays itself, or a refusal that does not hold the text."""
    made, said = tried(kind, text)
    bare = text.strip()
    assert len(bare) < 8 or bare not in said
    if made is None:
        return
    assert made.text == unicodedata.normalize("NFKC", made.text)
    assert normalise(kind, made.text) == made


def test_every_one_digit_slip_in_an_identity_number_is_refused() -> None:
    """A resident identity number with one wrong digit is no value: it would have matched somebody else, or nobody."""
    right = "11010519491231002X"
    for place in range(17):
        for digit in "0123456789":
            wrong = right[:place] + digit + right[place + 1 :]
            if wrong != right:
                with pytest.raises(TagRefused):
                    normalise("id", wrong)


def test_an_unknown_kind_names_those_there_are() -> None:
    """A kind that is none is refused with the kinds that there are."""
    with pytest.raises(TagRefused) as refused:
        normalise("plate", "A12345")
    assert refused.value.code == "LF-TAG-KIND"
    assert "wallet" in refused.value.cure


def test_a_value_has_its_limit() -> None:
    """512 bytes are read, 513 are not."""
    assert normalise("url", "https://example.com/" + "a" * 492).text.endswith("a")
    with pytest.raises(TagRefused, match="too long"):
        normalise("url", "https://example.com/" + "a" * 493)
