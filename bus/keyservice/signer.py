"""The private keys that an agency signs messages and grants with, and which of them a suite asks for."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from bus.errors import Usage
from bus.sealing import sm2
from bus.sealing.signatures import Signatures
from bus.sealing.suites import Suite


@dataclass(frozen=True)
class Signer:
    """Signs in the name of one agency. What is not there is refused by name when a suite asks for it."""

    ed25519: Ed25519PrivateKey
    ml_dsa_65: MLDSA65PrivateKey | None = None
    sm2_pair: bytes = b""

    def sign(self, suite: Suite, message: bytes) -> Signatures:
        """Sign as a suite asks. Usage where this agency has not the key, or this node not the provider."""
        if suite.signs_with_sm2:
            if not self.sm2_pair or not sm2.is_available():
                lacking = sm2.missing()
                raise Usage(lacking.cause, cure=lacking.cure, code=lacking.code)
            return Signatures(sm2.sign(self.sm2_pair, message))
        first = self.ed25519.sign(message)
        if not suite.signs_with_ml_dsa_65_too:
            return Signatures(first)
        if self.ml_dsa_65 is None:
            raise Usage(
                "this agency has no ML-DSA-65 key, which sealing suite 2 needs",
                cure="have policy use another suite, or make new keys with this release",
                code="LF-SEAL-SUITE-KEY",
            )
        return Signatures(first, self.ml_dsa_65.sign(message))
