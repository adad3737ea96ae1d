"""What can be wrong with a policy bundle."""


class PolicyError(Exception):
    """A bundle that may not come into force. Carries code, cause (with the place) and cure."""

    def __init__(self, cause: str, *, code: str, cure: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.code = f"LF-POLICY-{code}"
        self.cure = cure
