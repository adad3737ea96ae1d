"""Which sealing suites are allowed and which one is used: sealing.yaml of a bundle (docs/adr/0008-suites.md).

A bundle without that file has the first suite alone. There is no choice in band: senders seal under `use`, receivers
refuse what is not `allowed`. To change suites two agencies sign a bundle that allows both, and then one that allows the
new one alone.
"""

from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from bus.sealing.suites import CLASSICAL, SUITES

FILE = "sealing.yaml"


class Suites(NamedTuple):
    """The suite to seal under, and those that are taken."""

    use: int = CLASSICAL.number
    allowed: frozenset[int] = frozenset({CLASSICAL.number})


class SealingFile(BaseModel):
    """sealing.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    use: int
    allowed: Annotated[list[int], Field(min_length=1, max_length=len(SUITES))]
    why: Annotated[str, StringConstraints(min_length=1, max_length=500, strict=True)]

    @model_validator(mode="after")
    def _make_sense(self) -> "SealingFile":
        if self.allowed != sorted(set(self.allowed)) or not set(self.allowed) <= set(SUITES):
            raise ValueError(f"allowed lists suites of {', '.join(map(str, SUITES))}, ascending, each once")
        if self.use not in self.allowed:
            raise ValueError("the suite to use is not allowed")
        return self

    @property
    def suites(self) -> Suites:
        """What it says."""
        return Suites(self.use, frozenset(self.allowed))
