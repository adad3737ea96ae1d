"""What has happened so far, as the result that programs read and as the timeline that people read, in 100 columns.

Nothing of a classed field is in either, but for what the investigator opened, and that masked.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

COLUMNS = 100
_LABEL, _FROM, _TO = 45, 10, 17
_DIM, _BOLD, _RED, _GREEN, _PLAIN = "\033[2m", "\033[1m", "\033[31m", "\033[32m", "\033[0m"

LABELS: Mapping[str, str] = {
    "notices-sent": "notices of suspicious accounts",
    "rows-held-back": "rows held back, with their reasons",
    "spoofed-call-reported": "a spoofed call, from its signed PASSporT",
    "call-records-sent": "call records of the number",
    "notice-opened": "the account and the name are opened",
    "balance-refused": "the balance is refused",
    "stop-without-papers": "an order to stop payments, without papers",
    "stop-refused": "refused: legal papers missing",
    "stop-ordered": "the order again, with its papers, sealed",
    "stop-handed-over": "as its core system's own XML, code 100101",
    "stop-answered": "the bank's answer to the stop",
    "freeze-ordered": "an order to freeze",
    "freeze-answered": "the bank's answer to the freeze",
    "release-ordered": "a release, with its reason",
    "release-answered": "the bank's answer to the release",
    "who-looked": "who looked at that account, all agencies",
    "logs-exported": "every log as files",
    "logs-verified": "every log verified from its files alone",
    "foreign-verified": "a foreign verifier checks the same files",
    "flipped-byte-rejected": "one byte flipped in a copy: rejected",
}
"""What each step is, for people; the names are for programs."""


@dataclass(frozen=True)
class Step:
    """One step: who to whom, how long until its outcome was seen, and the entry of `source`'s log that goes with it."""

    name: str
    source: str
    target: str
    ms: int
    entry: int

    def as_dict(self) -> dict[str, object]:
        """Return it as the result has it."""
        return {"name": self.name, "from": self.source, "to": self.target, "ms": self.ms, "entry": self.entry}


@dataclass(frozen=True)
class Refusal:
    """Something that a rule forbade."""

    agency: str
    rule: str
    reason: str


@dataclass
class Timeline:
    """Keeps what happens and tells it. `say` takes one line; `colour` says whether it goes to a terminal."""

    say: Callable[[str], None]
    colour: bool = False
    steps: list[Step] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def title(self, text: str) -> None:
        """Tell what is about to be played."""
        self.say(self._in(_BOLD, text))

    def scene(self, number: int, text: str) -> None:
        """Tell that a scene begins."""
        self.say(self._in(_BOLD, f"{number}  {text}"))

    def step(self, step: Step, *notes: str) -> None:
        """Keep and tell a step."""
        self.steps.append(step)
        arrow = f"{step.source:>{_FROM}} → {_short(step.target):<{_TO}}"
        if step.target == step.source:
            arrow = f"{step.source:>{_FROM}}   {'':<{_TO}}"
        self.say(f"   {LABELS[step.name]:<{_LABEL}} {arrow} {step.ms:>6} ms {f'#{step.entry}':>6}")
        for note in notes:
            self.note(note)

    def note(self, text: str) -> None:
        """Tell something about what went before."""
        for line in textwrap.wrap(text, COLUMNS - 8):
            self.say(self._in(_DIM, f"      {line}"))

    def refused(self, refusal: Refusal) -> None:
        """Keep and tell a refusal."""
        self.refusals.append(refusal)
        self.note(f"rule {refusal.rule}: {refusal.reason}")

    def problem(self, text: str) -> None:
        """Keep and tell something that should not be."""
        self.problems.append(text)
        for line in textwrap.wrap(f"NOT AS IT SHOULD BE: {text}", COLUMNS - 8):
            self.say(self._in(_RED, f"      {line}"))

    def verdict(self, text: str, *, good: bool) -> None:
        """Tell how it ended."""
        self.say(self._in(_GREEN if good else _RED, text))

    def facts(self) -> dict[str, object]:
        """Return steps and refusals as the result has them."""
        return {
            "steps": [step.as_dict() for step in self.steps],
            "refusals": [asdict(refusal) for refusal in self.refusals],
        }

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if self.colour else text


def _short(target: str) -> str:
    """Name several receivers in the space of one and a half."""
    if len(target) <= _TO:
        return target
    names = target.split(", ")
    return f"{names[0]} and {len(names) - 1}"


def joined(names: Sequence[str]) -> str:
    """Return names in a row."""
    return ", ".join(names)


def masked(number: str) -> str:
    """Return the last four characters of a number; of a short one, none."""
    return f"•••• {number[-4:]}" if len(number) > 8 else "••••"  # noqa: PLR2004 - a short number is not half shown
