"""No guard at all: the key-encryption key stands in the key file. Whoever can read the directory opens everything.

For the demo, tests and trying out. `lianfang node doctor` warns while it is so.
"""

from bus.errors import Broken
from bus.keyservice.keyfile import KEK_BYTES, Parameters


class UnprotectedFile:
    """The key as it is."""

    name = "unprotected-file"

    def parameters(self) -> Parameters:
        """Return none: there are none."""
        return {}

    def made(self, parameters: Parameters) -> bool:
        """Say that it made every such key file."""
        return not parameters

    def wrap(self, kek: bytes, parameters: Parameters, context: bytes) -> bytes:  # noqa: ARG002 - nothing is bound
        """Return the key itself."""
        return kek

    def unwrap(self, wrapped: bytes, parameters: Parameters, context: bytes) -> bytes:  # noqa: ARG002 - nothing is bound
        """Return the key itself. Broken when it is not one."""
        if len(wrapped) != KEK_BYTES:
            raise Broken(
                f"kek.json does not hold a key of {KEK_BYTES} bytes",
                cure="restore kek.json from the backup that was made after the last `lianfang keys rekey`",
                code="LF-KEYS-KEYFILE",
            )
        return wrapped
