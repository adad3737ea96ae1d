"""Who cheats at match tags, what stops each, and that the attack works once its check is taken out.

An authority that answers with another key, moves answers about, announces a key that undoes the other's; a member that
sends what is no element; somebody who carries tags from one epoch into the next.
"""

from collections.abc import Callable

import pytest

from bus.tags import group, tag, voprf
from bus.tags.epochs import KeySet
from bus.tags.errors import TagRefused
from bus.tags.group import Element, Scalar
from bus.tags.normalise import Value, normalise
from bus.tags.voprf import Blinded, Evaluation
from tests.simulator import SeededRandomness
from tests.tags import keyed_hash

RANDOMNESS = SeededRandomness("attacks")
ONE, OTHER, FOREIGN = (group.random_scalar(RANDOMNESS) for _ in range(3))
EPOCH = "2026Q4"
PHONES = [normalise("phone", f"1380013800{number}") for number in range(2)]
IDENTITY = Element(bytes(32))
Answer = dict[str, Evaluation]


def key_set(one: Element | None = None, other: Element | None = None) -> KeySet:
    keys = ("auditor", one or voprf.public_key(ONE)), ("centre", other or voprf.public_key(OTHER))
    return KeySet(EPOCH, keys, 0, 1)


def blinded() -> list[tuple[Value, Blinded]]:
    return [(value, voprf.blind(tag.prf_input(value, EPOCH), group.random_scalar(RANDOMNESS))) for value in PHONES]


def answers(pairs: list[tuple[Value, Blinded]], one: Scalar = ONE, other: Scalar = OTHER) -> Answer:
    sent = [item.element for _, item in pairs]
    return {
        "auditor": voprf.evaluate(one, sent, RANDOMNESS),
        "centre": voprf.evaluate(other, sent, RANDOMNESS),
    }


def honest() -> dict[Value, bytes]:
    pairs = blinded()
    return {value: made.value for value, made in tag.make_tags(pairs, key_set(), answers(pairs)).items()}


def alone(share: Scalar) -> dict[Value, bytes]:
    """Return what one who knows `share` computes for itself, asking nobody."""
    made = {}
    for value in PHONES:
        item = voprf.blind(tag.prf_input(value, EPOCH), group.random_scalar(RANDOMNESS))
        made[value] = voprf.finalize(item, group.times(share, item.element))[: tag.TAG_BYTES]
    return made


def without_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voprf, "verify", lambda *_: None)


def without_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out the checks of the door and of products, as with a library that lets the identity pass."""
    rbcl = group._rbcl()

    def times(factor: Scalar, point: Element) -> Element:
        try:
            return Element(bytes(rbcl.crypto_scalarmult_ristretto255(factor, point)))
        except RuntimeError:
            return IDENTITY

    monkeypatch.setattr(group, "element", Element)
    monkeypatch.setattr(group, "times", times)


def made(pairs: list[tuple[Value, Blinded]], held: KeySet, given: Answer) -> dict[Value, bytes]:
    return {value: item.value for value, item in tag.make_tags(pairs, held, given).items()}


def test_tags_of_equal_values_are_equal_and_of_others_not() -> None:
    """Asked twice, with other blinds, the same phone has the same tag, and another phone another."""
    first, second = honest(), honest()
    assert first == second
    assert len(set(first.values())) == len(PHONES)


def test_an_answer_under_another_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that evaluates with another share is named; unchecked, its tags match nobody's, and nobody sees why."""
    pairs = blinded()
    wrong = answers(pairs, other=FOREIGN)
    with pytest.raises(TagRefused) as refused:
        made(pairs, key_set(), wrong)
    assert (refused.value.code, refused.value.facts["authority"]) == ("LF-TAG-PROOF", "centre")
    without_proofs(monkeypatch)
    assert made(pairs, key_set(), wrong) != honest()


def test_answers_that_change_places_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two answers swapped are refused; unchecked, neither number gets its tag, and matches are missed without a word."""
    pairs = blinded()
    given = answers(pairs)
    swapped = {name: Evaluation(item.elements[::-1], item.proof) for name, item in given.items()}
    with pytest.raises(TagRefused, match="share"):
        made(pairs, key_set(), swapped)
    without_proofs(monkeypatch)
    assert not set(made(pairs, key_set(), swapped).values()) & set(honest().values())


def test_an_answer_to_another_question_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old answer, replayed for a new question, is refused; unchecked it makes tags of nothing."""
    old, pairs = answers(blinded()), blinded()
    with pytest.raises(TagRefused, match="share"):
        made(pairs, key_set(), old)
    without_proofs(monkeypatch)
    assert made(pairs, key_set(), old) != honest()


def test_a_key_that_undoes_the_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that announces x·G less the other's key cannot prove an answer; unchecked it makes every tag alone."""
    x = FOREIGN
    minus = group.times(group.scalar((group.ORDER - 1).to_bytes(32, "little")), voprf.public_key(ONE))
    rogue = key_set(other=group.plus(voprf.public_key(x), minus))
    pairs = blinded()
    sent = [item.element for _, item in pairs]
    one = voprf.evaluate(ONE, sent, RANDOMNESS)
    opposite = group.scalar((group.ORDER - 1).to_bytes(32, "little"))
    undone = tuple(
        group.plus(group.times(x, element), group.times(opposite, first))
        for element, first in zip(sent, one.elements, strict=True)
    )
    given = {"auditor": one, "centre": Evaluation(undone, voprf.evaluate(x, sent, RANDOMNESS).proof)}
    with pytest.raises(TagRefused, match="share"):
        made(pairs, rogue, given)
    without_proofs(monkeypatch)
    assert made(pairs, rogue, given) == alone(x), "the whole key is one authority's"


def test_a_share_of_zero_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority whose share is zero is refused at its key; unchecked, the other authority makes every tag alone."""
    with pytest.raises(TagRefused):
        group.element(IDENTITY)
    with pytest.raises(TagRefused):
        group.scalar(bytes(32))
    pairs = blinded()
    zero = Evaluation((IDENTITY, IDENTITY), answers(pairs)["centre"].proof)
    given = {**answers(pairs), "centre": zero}
    with pytest.raises(TagRefused):
        made(pairs, key_set(other=IDENTITY), given)
    without_identity(monkeypatch)
    without_proofs(monkeypatch)
    assert made(pairs, key_set(other=IDENTITY), given) == alone(ONE)


@pytest.mark.parametrize("data", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31)], ids=["identity", "large", "negative"])
def test_what_is_no_element_is_not_evaluated(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a member sends is checked before a share touches it; unchecked, the identity comes back with a proof."""
    with pytest.raises(TagRefused):
        group.element(data)
    without_identity(monkeypatch)
    if data == bytes(32):
        assert voprf.evaluate(ONE, [group.element(data)], RANDOMNESS).elements == (IDENTITY,)


@pytest.mark.parametrize("part", [slice(0, 32), slice(32, 64)], ids=["challenge", "response"])
def test_a_proof_with_a_zero_scalar_is_refused(part: slice) -> None:
    """A zero in a proof is refused before anything is computed."""
    pairs = blinded()
    given = answers(pairs)
    proof = bytearray(given["centre"].proof)
    proof[part] = bytes(32)
    with pytest.raises(TagRefused, match="scalar"):
        made(pairs, key_set(), {**given, "centre": Evaluation(given["centre"].elements, bytes(proof))})


def test_a_scalar_in_its_other_writing_is_refused() -> None:
    """A proof whose response is written with the order added to it is another proof of the same, and refused."""
    pairs = blinded()
    given = answers(pairs)
    response = int.from_bytes(given["centre"].proof[32:], "little") + group.ORDER
    proof = given["centre"].proof[:32] + response.to_bytes(32, "little")
    with pytest.raises(TagRefused, match="scalar"):
        made(pairs, key_set(), {**given, "centre": Evaluation(given["centre"].elements, proof)})


def copied(value: Value, text: Callable[[Value, str], bytes]) -> bytes:
    """Return a value's output in the next epoch, the shares being the same."""
    item = voprf.blind(text(value, "2027Q1"), group.random_scalar(RANDOMNESS))
    whole = group.plus(group.times(ONE, item.element), group.times(OTHER, item.element))
    return voprf.finalize(item, whole)[: tag.TAG_BYTES]


def test_a_tag_copied_into_the_next_epoch_is_no_tag_there() -> None:
    """Even under unchanged shares a tag of one epoch is none of the next; without the epoch in what is hashed it would be."""
    value = PHONES[0]
    assert copied(value, tag.prf_input) != honest()[value]

    def without_epoch(value: Value, _: str) -> bytes:
        return tag.prf_input(value, EPOCH)

    assert copied(value, without_epoch) == honest()[value]


def test_a_tag_of_one_kind_is_none_of_another() -> None:
    """Digits that are a phone's and an account's have tags of their own; so have a name and the same name cut elsewhere."""
    account, phone = Value("account", "13800138000"), Value("phone", "13800138000")
    assert tag.prf_input(account, EPOCH) != tag.prf_input(phone, EPOCH)
    assert tag.prf_input(Value("name", "AB"), "C") != tag.prf_input(Value("name", "A"), "BC")


@pytest.mark.parametrize("kind", ["phone", "account", "id", "name", "email", "domain", "url"])
def test_a_plain_keyed_hash_is_refused_where_values_can_be_listed(kind: str) -> None:
    """A local tag is made of tokens and wallets alone."""
    with pytest.raises(TagRefused) as refused:
        tag.local_input(Value(kind, "x"))
    assert refused.value.code == "LF-TAG-LOW-ENTROPY"
    assert tag.local_input(Value("token", "6ba7b8109dad11d180b400c04fd430c8"))


def test_a_keyed_hash_of_a_number_gives_the_number_to_who_has_the_key() -> None:
    """Whoever holds the key of a plain keyed hash reads the number from it by trying; so the documentation says."""
    key, number = bytes(32), "+8613800138417"
    assert keyed_hash.found(key, keyed_hash.keyed(key, number), number[:-3], 3)[0] == number
    with pytest.raises(ValueError, match="not in that range"):
        keyed_hash.found(key, keyed_hash.keyed(b"\1" * 32, number), number[:-3], 3)
