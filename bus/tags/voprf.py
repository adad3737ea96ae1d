"""RFC 9497, the verifiable mode of suite ristretto255-SHA512, with a key that may stand in two shares.

- Names and steps are the RFC's; section numbers stand at each. Only what the bus uses is here: the base mode and the mode
  with public information are not.
- A key in shares: k = k1 + k2. Each holder evaluates the same blinded element, with a proof under its own public key;
  the client checks each proof and adds what it got: k1·B + k2·B = k·B. From there on everything is the RFC's, as if one
  server held k. Nobody ever holds k.
- One proof covers a batch, however long.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha512

from bus.randomness import Randomness
from bus.tags import group
from bus.tags.errors import TagRefused
from bus.tags.group import Element, Scalar

BATCH_MAX = 256
"""Elements under one proof."""
PROOF_BYTES = 64
INPUT_BYTES_MAX = 1024
_CONTEXT = b"OPRFV1-\x01-ristretto255-SHA512"
_BLOCK_BYTES, _DIGEST_BYTES = 128, 64
_DERIVE_TRIES = 256


@dataclass(frozen=True)
class Blinded:
    """An input, hidden: `element` may be shown to anybody, `blind` to nobody."""

    value: bytes
    blind: Scalar
    element: Element


@dataclass(frozen=True)
class Evaluation:
    """What a holder of a share answers to a batch of blinded elements."""

    elements: tuple[Element, ...]
    proof: bytes


def derive_key(seed: bytes, info: bytes) -> Scalar:
    """Return the private key of a seed (section 3.2.1, DeriveKeyPair)."""
    derive_input = seed + _sized(info)
    for counter in range(_DERIVE_TRIES):
        try:
            return _hash_to_scalar(derive_input + bytes([counter]), b"DeriveKeyPair" + _CONTEXT)
        except TagRefused:
            continue
    raise TagRefused("no key comes of this seed", code="LF-TAG-SCALAR", cure="take another seed")


def public_key(private: Scalar) -> Element:
    """Return the public key of a private one."""
    return group.times_base(private)


def blind(value: bytes, factor: Scalar) -> Blinded:
    """Hide an input behind a random factor, used once (section 3.3.2, Blind)."""
    if not 0 < len(value) <= INPUT_BYTES_MAX:
        raise TagRefused(
            f"an input has 1 to {INPUT_BYTES_MAX} bytes", code="LF-TAG-INPUT", cure="leave the value out of matching"
        )
    return Blinded(value, factor, group.times(factor, _hash_to_group(value)))


def evaluate(private: Scalar, blinded: Sequence[Element], randomness: Randomness) -> Evaluation:
    """Evaluate blinded elements, with one proof for all (section 3.3.2, BlindEvaluate)."""
    _require_batch(blinded)
    evaluated = tuple(group.times(private, item) for item in blinded)
    return Evaluation(evaluated, _prove(private, blinded, evaluated, group.random_scalar(randomness)))


def verify(public: Element, blinded: Sequence[Element], evaluation: Evaluation) -> None:
    """Check that a batch was evaluated under the key behind `public` (section 2.2.2). TagRefused otherwise."""
    _require_batch(blinded)
    if len(evaluation.elements) != len(blinded) or len(evaluation.proof) != PROOF_BYTES:
        raise _unproved()
    given = group.scalar(evaluation.proof[: group.BYTES])
    response = group.scalar(evaluation.proof[group.BYTES :])
    middle, last = _composites(public, blinded, evaluation.elements)
    t2 = group.plus(group.times_base(response), group.times(given, public))
    t3 = group.plus(group.times(response, middle), group.times(given, last))
    if not hmac.compare_digest(_challenge(public, middle, last, t2, t3), given):
        raise _unproved()


def joined(one: Sequence[Element], other: Sequence[Element]) -> tuple[Element, ...]:
    """Return what the whole key would have given, from what its two shares gave."""
    return tuple(group.plus(left, right) for left, right in zip(one, other, strict=True))


def finalize(blinded: Blinded, evaluated: Element) -> bytes:
    """Return the 64 bytes of output for an input (section 3.3.2, Finalize; the proofs have been checked)."""
    unblinded = group.times(group.inverse(blinded.blind), evaluated)
    return sha512(_sized(blinded.value) + _sized(unblinded) + b"Finalize").digest()


def _prove(private: Scalar, blinded: Sequence[Element], evaluated: Sequence[Element], nonce: Scalar) -> bytes:
    """Prove that the same key stands behind all (section 2.2.1, GenerateProof with ComputeCompositesFast)."""
    public = public_key(private)
    middle = _weighed(blinded, _weights(public, blinded, evaluated))
    last = group.times(private, middle)
    challenge = _challenge(public, middle, last, group.times_base(nonce), group.times(nonce, middle))
    return challenge + group.scalar_minus(nonce, group.scalar_times(challenge, private))


def _composites(public: Element, blinded: Sequence[Element], evaluated: Sequence[Element]) -> tuple[Element, Element]:
    weights = _weights(public, blinded, evaluated)
    return _weighed(blinded, weights), _weighed(evaluated, weights)


def _weights(public: Element, blinded: Sequence[Element], evaluated: Sequence[Element]) -> list[Scalar]:
    """Return a factor for each pair, which nobody can foresee (section 2.2.1, ComputeComposites)."""
    seed = sha512(_sized(public) + _sized(b"Seed-" + _CONTEXT)).digest()
    return [
        _hash_to_scalar(_sized(seed) + number.to_bytes(2, "big") + _sized(sent) + _sized(got) + b"Composite")
        for number, (sent, got) in enumerate(zip(blinded, evaluated, strict=True))
    ]


def _weighed(points: Sequence[Element], weights: Sequence[Scalar]) -> Element:
    terms = [group.times(weight, point) for weight, point in zip(weights, points, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = group.plus(total, term)
    return total


def _challenge(public: Element, middle: Element, last: Element, t2: Element, t3: Element) -> Scalar:
    return _hash_to_scalar(b"".join(map(_sized, (public, middle, last, t2, t3))) + b"Challenge")


def _hash_to_group(data: bytes) -> Element:
    return group.from_hash(_expand(data, b"HashToGroup-" + _CONTEXT))


def _hash_to_scalar(data: bytes, domain: bytes = b"HashToScalar-" + _CONTEXT) -> Scalar:
    return group.reduced(_expand(data, domain))


def _expand(data: bytes, domain: bytes) -> bytes:
    """Return 64 bytes: expand_message_xmd of RFC 9380 section 5.3.1 with SHA-512, for which one block is enough."""
    tail = domain + bytes([len(domain)])
    first = sha512(bytes(_BLOCK_BYTES) + data + _DIGEST_BYTES.to_bytes(2, "big") + b"\0" + tail).digest()
    return sha512(first + b"\x01" + tail).digest()


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _require_batch(blinded: Sequence[Element]) -> None:
    if not 0 < len(blinded) <= BATCH_MAX:
        raise TagRefused(
            f"a batch has 1 to {BATCH_MAX} elements; this one has {len(blinded)}",
            code="LF-TAG-BATCH",
            cure="ask in several batches",
        )


def _unproved() -> TagRefused:
    return TagRefused(
        "an authority's answer was not made with the key share that it is known for",
        code="LF-TAG-PROOF",
        cure="no tag was made; tell the auditor and the authority: its share was changed, or somebody answers in its name",
    )
