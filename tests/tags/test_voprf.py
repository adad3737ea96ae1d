"""RFC 9497 on ristretto255: its own vectors, a key in two shares, and what a proof is good for."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.tags import group, voprf
from bus.tags.errors import TagRefused
from bus.tags.group import Scalar
from tests.simulator import SeededRandomness

SHARED = Path(__file__).parents[3] / "shared/vectors/oprf/rfc9497_allVectors.json"


class Fixed:
    """Gives one scalar, as the RFC's vectors fix it."""

    def __init__(self, scalar: bytes) -> None:
        self._scalar = scalar

    def bytes(self, count: int) -> bytes:
        return self._scalar + bytes(count - len(self._scalar))


def suites() -> list[dict]:
    found = [json.loads((Path(__file__).parent / "rfc9497_voprf.json").read_text())]
    if SHARED.exists():
        found += [
            suite
            for suite in json.loads(SHARED.read_text())
            if suite["identifier"] == "ristretto255-SHA512" and suite["mode"] == 1
        ]
    return found


CASES = [
    pytest.param(suite, vector, id=f"{number}") for number, suite in enumerate(suites()) for vector in suite["vectors"]
]


def listed(text: str) -> list[bytes]:
    return [bytes.fromhex(part) for part in text.split(",")]


@pytest.mark.parametrize(("suite", "vector"), CASES)
def test_the_vectors_of_the_rfc(suite: dict, vector: dict) -> None:
    """Key, blinded elements, evaluation, proof and output are the RFC's, byte for byte."""
    private = voprf.derive_key(bytes.fromhex(suite["seed"]), bytes.fromhex(suite["keyInfo"]))
    assert (private.hex(), voprf.public_key(private).hex()) == (suite["skSm"], suite["pkSm"])
    blinded = [
        voprf.blind(value, group.scalar(factor))
        for value, factor in zip(listed(vector["Input"]), listed(vector["Blind"]), strict=True)
    ]
    elements = [item.element for item in blinded]
    assert elements == listed(vector["BlindedElement"])
    made = voprf.evaluate(private, elements, Fixed(bytes.fromhex(vector["Proof"]["r"])))
    assert list(made.elements) == listed(vector["EvaluationElement"])
    assert made.proof.hex() == vector["Proof"]["proof"]
    voprf.verify(voprf.public_key(private), elements, made)
    outputs = [voprf.finalize(item, got) for item, got in zip(blinded, made.elements, strict=True)]
    assert outputs == listed(vector["Output"])


@pytest.mark.parametrize(("suite", "vector"), CASES)
def test_a_key_in_two_shares_gives_the_rfcs_output(suite: dict, vector: dict) -> None:
    """However the RFC's key is split, what the shares give, joined, is the RFC's output, and each share proves its part."""
    randomness = SeededRandomness("shares")
    whole = group.scalar(bytes.fromhex(suite["skSm"]))
    one = group.random_scalar(randomness)
    other = group.scalar_minus(whole, one)
    blinded = [
        voprf.blind(value, group.scalar(factor))
        for value, factor in zip(listed(vector["Input"]), listed(vector["Blind"]), strict=True)
    ]
    elements = [item.element for item in blinded]
    answers = [voprf.evaluate(share, elements, randomness) for share in (one, other)]
    for share, answer in zip((one, other), answers, strict=True):
        voprf.verify(voprf.public_key(share), elements, answer)
    joined = voprf.joined(answers[0].elements, answers[1].elements)
    outputs = [voprf.finalize(item, got) for item, got in zip(blinded, joined, strict=True)]
    assert outputs == listed(vector["Output"])
    assert group.plus(voprf.public_key(one), voprf.public_key(other)).hex() == suite["pkSm"]
    alone = [voprf.finalize(item, got) for item, got in zip(blinded, answers[0].elements, strict=True)]
    assert not set(alone) & set(outputs), "one share alone makes no tag"


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.binary(min_size=1, max_size=64), st.integers(0, 2**64), st.integers(1, 5))
def test_what_a_value_becomes_does_not_hang_on_its_blind(value: bytes, seed: int, count: int) -> None:
    """Blinded afresh each time, a value always becomes the same, and what is sent never is."""
    randomness = SeededRandomness(str(seed))
    private = group.random_scalar(randomness)
    blinded = [voprf.blind(value, group.random_scalar(randomness)) for _ in range(count)]
    elements = [item.element for item in blinded]
    made = voprf.evaluate(private, elements, randomness)
    voprf.verify(voprf.public_key(private), elements, made)
    outputs = {voprf.finalize(item, got) for item, got in zip(blinded, made.elements, strict=True)}
    assert (len(outputs), len(set(elements))) == (1, count)


def test_a_batch_has_its_limit() -> None:
    """256 elements are one batch; none and 257 are none."""
    randomness = SeededRandomness("limit")
    element = voprf.blind(b"value", group.random_scalar(randomness)).element
    private = group.random_scalar(randomness)
    many = [element] * voprf.BATCH_MAX
    voprf.verify(voprf.public_key(private), many, voprf.evaluate(private, many, randomness))
    for wrong in ([], [*many, element]):
        with pytest.raises(TagRefused, match="a batch has"):
            voprf.evaluate(private, wrong, randomness)


def test_an_input_has_its_limit() -> None:
    """An input of 1,024 bytes is blinded; an empty one and a longer one are refused."""
    factor = group.random_scalar(SeededRandomness("input"))
    voprf.blind(bytes(1024), factor)
    for wrong in (b"", bytes(1025)):
        with pytest.raises(TagRefused, match="an input has"):
            voprf.blind(wrong, factor)


def test_every_changed_bit_of_an_answer_is_refused() -> None:
    """Whichever bit of the evaluated element or of the proof is turned, the answer does not hold."""
    randomness = SeededRandomness("bits")
    private = group.random_scalar(randomness)
    element = voprf.blind(b"value", group.random_scalar(randomness)).element
    made = voprf.evaluate(private, [element], randomness)
    whole = made.elements[0] + made.proof
    for bit in range(0, len(whole) * 8, 3):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TagRefused):
            voprf.verify(
                voprf.public_key(private),
                [element],
                voprf.Evaluation((group.element(bytes(changed[:32])),), bytes(changed[32:])),
            )


BAD_ELEMENTS = (
    # RFC 9496 appendix A.2: not in canonical form, negative, no square root, and the identity.
    "00" * 32,
    "ff" * 32,
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    "4eac077a713c57b4f4397629a4145982c661f48044dd3f96427d40b147d9742f",
    "00" * 31,
    "00" * 33,
    "",
)


@pytest.mark.parametrize("data", BAD_ELEMENTS)
def test_what_is_no_element_is_refused(data: str) -> None:
    """Another encoding, another length and the identity are refused at the door."""
    with pytest.raises(TagRefused) as refused:
        group.element(bytes.fromhex(data))
    assert refused.value.code == "LF-TAG-ELEMENT"


@pytest.mark.parametrize("number", [0, group.ORDER, group.ORDER + 1, 2**256 - 1])
def test_what_is_no_scalar_is_refused(number: int) -> None:
    """Zero and whatever is not below the order are refused."""
    with pytest.raises(TagRefused) as refused:
        group.scalar(number.to_bytes(32, "little"))
    assert refused.value.code == "LF-TAG-SCALAR"


def test_the_greatest_scalar_is_one() -> None:
    """The order less one is a scalar, and turns the generator into its opposite."""
    last = group.scalar((group.ORDER - 1).to_bytes(32, "little"))
    with pytest.raises(TagRefused, match="identity"):
        group.plus(group.generator(), group.times_base(last))


def test_zero_is_drawn_again() -> None:
    """Randomness that gives a multiple of the order gives no zero scalar: it is asked again."""

    class Zero:
        def __init__(self) -> None:
            self.given = [bytes(64), group.ORDER.to_bytes(64, "little"), (5).to_bytes(64, "little")]

        def bytes(self, count: int) -> bytes:
            return self.given.pop(0)

    assert group.random_scalar(Zero()) == Scalar((5).to_bytes(32, "little"))


def test_the_library_leaves_nothing_behind(tmp_path: Path) -> None:
    """Loading libsodium leaves no file in the temporary directory, and says what to do where programs may not run."""
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    program = "from bus.tags import group; group.generator()"
    subprocess.run([sys.executable, "-c", program], check=True, env={"TMPDIR": str(tmp_path), "PATH": ""}, timeout=60)
    assert list(tmp_path.iterdir()) == []
