"""Scenes 1 to 5, played as users play them: over control sockets and handover folders, each step until its outcome is seen."""

import base64
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bus.errors import Broken, BusError, Refused
from deploy.demo.case_file import FIELDS, Played, played_notice, target_of
from deploy.demo.federation import AGENCIES, CASE
from deploy.demo.police_system import CaseSystem, Result, Target
from deploy.demo.stage import DEADLINE_S, FILES, Stage, wait_for
from deploy.demo.timeline import Refusal, Step, Timeline, joined, masked

DONE, DONE_SHORT, NO_PAPERS = "0000", "1200", "0600"
_PAGE = 500
_SHOWN_MAX = 5
_ARRIVALS_PER_S_MIN = 50
_EARLY_WARNING = {"purpose": "early_warning", "legal_basis": "ATF18"}
_CLUE = {"purpose": "early_warning", "legal_basis": "ATF26"}
_STOP = {"purpose": "stop_payment", "legal_basis": "ATF20", "case": CASE}
_FREEZE = {"purpose": "freeze", "legal_basis": "CPL144", "case": CASE}
_RELIEF = {"purpose": "appeal", "legal_basis": "CPL145", "case": CASE}
_POLICE_IDS = (FILES / "01-police-id-1.jpg", FILES / "01-police-id-2.jpg")
_STOP_PAPERS = (*_POLICE_IDS, FILES / "03-stop-payment-form.pdf")
_FREEZE_PAPERS = (*_POLICE_IDS, FILES / "02-freeze-instrument.pdf")
_RELEASE_REASON = "经查，该账户资金与本案无关"
_FORMER = ("FormerApplicationDepartment", "FormerFrozenBalance", "FormerFrozenExpireTime")


Trace = tuple[str, int]
"""An entry that the auditor must find: agency and index."""


class Stopwatch:
    """Milliseconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def ms(self) -> int:
        """Return them, rounded."""
        return round((time.monotonic() - self._start) * 1000)


class Scenes:
    """The scenes up to the release."""

    def __init__(self, stage: Stage, timeline: Timeline) -> None:
        self._stage = stage
        self._timeline = timeline
        self._police = CaseSystem(stage.handover("police-a"), CASE)
        self.held_back: list[dict[str, Any]] = []

    def notices(self, file: Path) -> Played | None:
        """Scene 1: bank-a sends its file. Return the notice to go on with, if one names a next account."""
        recipients = ("police-a", "centre")
        data = file.read_bytes()
        before, start = self._persons(recipients), self._stage.entries("bank-a")
        watch = Stopwatch()
        result = self._send("bank-a", data, recipients, _EARLY_WARNING)
        sent = result["sent"]
        self._await_arrival(recipients, before, len(sent))
        notes = [f"{result['rows_in']} rows in {file.name}: {len(sent)} sent, {len(result['held_back'])} held back"]
        notes += [
            f"row {warning['row']}, {warning['field']}: {warning['cause']} ({warning['code']})"
            for warning in result["warnings"][:_SHOWN_MAX]
        ]
        self._step("notices-sent", "bank-a", recipients, watch, sent[0]["entry"] if sent else start, *notes)
        self._tell_held_back(result["held_back"], start)
        for row in result["refused"]:
            self._timeline.refused(Refusal("bank-a", _first(row["rules"]), row["cause"]))
        played = played_notice(data, sent)
        if played is None:
            self._timeline.note("no notice that was sent names a whole account that the money went on to:")
            self._timeline.note("opening, stopping, freezing and the search for looks are not played with this file")
        return played

    def _tell_held_back(self, rows: Sequence[Mapping[str, Any]], start: int) -> None:
        self.held_back = [{name: row[name] for name in ("row", "code", "cause", "cure")} for row in rows]
        if not rows:
            return
        watch = Stopwatch()
        kept = {item["row"] for item in self._stage.call("bank-a", "held_back", limit=_PAGE)}
        if not {row["row"] for row in rows} <= kept and len(kept) < _PAGE:
            self._timeline.problem("bank-a does not list every row that it held back")
        entry = self._stage.find_entry("bank-a", start, action="ACTION_HOLD_BACK")
        shown = [f"row {row['row']}: {row['code']}: {row['cause']}; {row['cure']}" for row in rows[:_SHOWN_MAX]]
        self._step("rows-held-back", "bank-a", ("bank-a",), watch, entry, *shown)

    def spoofed_call(self) -> None:
        """Scene 2: telecom-c reports a call, and the records of the number."""
        names = ("telecom-c-passport-cert.pem", "telecom-c-passport-ca.pem")
        companions = {name: (FILES / name).read_bytes() for name in names}
        self._report(
            "spoofed-call-reported", "telecom-c-passport.txt", ("police-a", "centre", "platform-d"), companions
        )
        self._report("call-records-sent", "telecom-c-calls.csv", ("police-a", "centre"), {})

    def _report(self, name: str, file: str, recipients: tuple[str, ...], companions: Mapping[str, bytes]) -> None:
        before, start = self._persons(recipients), self._stage.entries("telecom-c")
        watch = Stopwatch()
        result = self._send("telecom-c", (FILES / file).read_bytes(), recipients, _CLUE, companions=companions)
        sent = result["sent"]
        self._await_arrival(recipients, before, len(sent))
        if result["held_back"] or result["refused"] or not sent:
            self._timeline.problem(f"{file} did not go out whole: {_why(result)}")
        if result["warnings"]:
            self._timeline.problem(f"{file}: {result['warnings'][0]['cause']}")
        self._step(name, "telecom-c", recipients, watch, sent[0]["entry"] if sent else start)

    def opening(self, played: Played) -> tuple[Target, frozenset[Trace]]:
        """Scene 3: the investigator opens account and name, and is refused the balance. Return what was read, and traces."""
        watch = Stopwatch()
        opened = self._stage.call("police-a", "open", message_id=played.message_id, fields=list(FIELDS), **_STOP)
        fields = opened["fields"]
        target = target_of(fields)
        if target is None:
            raise Broken("the notice does not read at the police as it was sent", code="LF-DEMO-NOTICE")
        name = fields.get("holder", {}).get("name", "")
        shown = f"account {masked(fields['account']['number'])}, name of {len(name)} characters, next account"
        shown += f" {masked(target.account)}; the entry was written first"
        self._step("notice-opened", "police-a", ("police-a",), watch, opened["entry"], shown)
        refused = self._balance(played.message_id)
        return target, frozenset({("police-a", int(opened["entry"])), ("police-a", refused)})

    def _balance(self, message_id: str) -> int:
        watch = Stopwatch()
        try:
            self._stage.call("police-a", "open", message_id=message_id, fields=["balance"], **_STOP)
        except BusError as error:
            if error.exit_code != Refused.exit_code:
                raise
            entry = int(error.facts["entry"])
            self._step("balance-refused", "police-a", ("police-a",), watch, entry)
            self._timeline.refused(Refusal("police-a", _first(error.facts["rules"]), error.cause))
            return entry
        self._timeline.problem("police-a opened a balance that it may not have at this stage")
        return -1

    def stop(self, target: Target) -> tuple[str, int]:
        """Scene 4: without papers it is refused, with papers it is done in part. Return order and refusal's entry."""
        start = self._stage.entries("bank-b")
        bare = self._police.application_id()
        order_id = self._order("stop-without-papers", self._police.stop(bare, target, ()), _STOP)
        watch = Stopwatch()
        refusal = self._answer(bare)
        if refusal.code != NO_PAPERS:
            self._timeline.problem(f"an order without papers was answered {refusal.code}, not {NO_PAPERS}")
        wanted = {"exchange": order_id, "kind": "KIND_DENIAL", "action": "ACTION_HAND_OVER"}
        entry = self._stage.find_entry("bank-b", start, **wanted)
        self._step("stop-refused", "bank-b", ("police-a",), watch, entry, f"result {refusal.code} (200102)")
        if entry >= 0:
            rules = self._stage.call("bank-b", "audit.leaf", index=entry).get("rule_ids", [])
            self._timeline.refused(Refusal("bank-b", _first(rules), refusal.elements.get("FeedbackRemark", "")))
        whole = self._police.application_id()
        order_id = self._order("stop-ordered", self._police.stop(whole, target, _STOP_PAPERS), _STOP)
        self._handed_over(order_id)
        self._result("stop-answered", order_id, whole, DONE_SHORT, "partial success: stopped, balance insufficient")
        return order_id, entry

    def freeze(self, target: Target) -> None:
        """Scene 5: a freeze that queues behind an earlier one, and its release."""
        frozen = self._police.application_id()
        order_id = self._order("freeze-ordered", self._police.freeze(frozen, target, _FREEZE_PAPERS), _FREEZE)
        said = "queued: the answer names the earlier authority, its amount and its expiry"
        answer = self._result("freeze-answered", order_id, frozen, DONE, said)
        absent = [name for name in _FORMER if not answer.elements.get(name)]
        if absent:
            self._timeline.problem(f"the answer to the freeze does not give {joined(absent)}")
        released = self._police.application_id()
        data = self._police.release(released, frozen, target, _RELEASE_REASON)
        order_id = self._order("release-ordered", data, _RELIEF)
        self._result("release-answered", order_id, released, DONE, "released")

    def _handed_over(self, order_id: str) -> None:
        """Wait until the order lies, or has lain, in the core system's folder."""
        watch = Stopwatch()
        folder = self._stage.handover("bank-b") / "out"
        places = [folder / f"{order_id}.xml", folder / "taken" / f"{order_id}.xml"]
        wait_for("the order in the core system's folder", lambda: any(path.exists() for path in places))
        entry = self._stage.find_entry("bank-b", 0, exchange=order_id, action="ACTION_HAND_OVER")
        self._step("stop-handed-over", "bank-b", ("its core system",), watch, entry)

    def _order(self, name: str, data: bytes, statement: Mapping[str, str]) -> str:
        """Send an order from the case system and wait until bank-b has it; return its message id."""
        watch = Stopwatch()
        result = self._send("police-a", data, ("bank-b",), statement, profile=AGENCIES["police-a"].profile)
        if not result["sent"]:
            raise Broken(f"the order {name} did not go out: {_why(result)}", code="LF-DEMO-ORDER")
        sent = result["sent"][0]

        def there() -> bool:
            orders = self._stage.call("bank-b", "orders", limit=_PAGE)
            return any(item["message_id"] == sent["message_id"] for item in orders)

        wait_for(f"{name} at bank-b", there)
        self._step(name, "police-a", ("bank-b",), watch, sent["entry"])
        return str(sent["message_id"])

    def _answer(self, application_id: str) -> Result:
        """Wait for the answer in the police's own dialect."""
        return wait_for(
            "the bank's answer",
            lambda: next((item for item in self._police.results() if item.application_id == application_id), None),
        )

    def _result(self, name: str, order_id: str, application_id: str, expected: str, said: str) -> Result:
        """Wait for the answer to an order and for the order's end; tell a problem when it is another than expected."""
        watch = Stopwatch()
        answer = self._answer(application_id)
        order = wait_for("the order's end", lambda: self._ended(order_id))
        entry = self._stage.find_entry("bank-b", 0, exchange=order["result_message_id"], kind="KIND_RELEASE")
        good = answer.code == expected
        self._step(
            name,
            "bank-b",
            ("police-a",),
            watch,
            entry,
            f"result {answer.code} ({answer.tx_code}): {said if good else ''}",
        )
        if not good:
            self._timeline.problem(f"{name}: result {answer.code} came where {expected} was due")
        return answer

    def _ended(self, order_id: str) -> dict[str, Any] | None:
        orders = self._stage.call("police-a", "orders", limit=_PAGE)
        return next((item for item in orders if item["message_id"] == order_id and item["state"] == "answered"), None)

    def _send(
        self,
        agency: str,
        data: bytes,
        recipients: Sequence[str],
        statement: Mapping[str, str],
        profile: str = "auto",
        companions: Mapping[str, bytes] | None = None,
    ) -> dict[str, Any]:
        arguments = {
            "data": base64.b64encode(data).decode(),
            "to": list(recipients),
            "profile": profile,
            "companions": {name: base64.b64encode(text).decode() for name, text in (companions or {}).items()},
        }
        result: dict[str, Any] = self._stage.call(agency, "send", **arguments, **statement)
        return result

    def _persons(self, recipients: Sequence[str]) -> dict[str, int]:
        """Return how much lies in front of persons at each of these agencies."""
        return {name: int(self._stage.call(name, "status")["inbox"].get("person", 0)) for name in recipients}

    def _await_arrival(self, recipients: Sequence[str], before: Mapping[str, int], count: int) -> None:
        for name in recipients:
            wait_for(
                f"{count} messages at {name}",
                partial(self._have_arrived, name, before[name] + count),
                DEADLINE_S + count / _ARRIVALS_PER_S_MIN,
            )

    def _have_arrived(self, agency: str, count: int) -> bool:
        return self._persons((agency,))[agency] >= count

    def _step(self, name: str, source: str, targets: Sequence[str], watch: Stopwatch, entry: int, *notes: str) -> None:
        self._timeline.step(Step(name, source, joined(targets), watch.ms(), int(entry)), *notes)


def _first(rules: Sequence[str]) -> str:
    return rules[0] if rules else ""


def _why(result: Mapping[str, Any]) -> str:
    """Return why rows of a file did not go out, in the node's words."""
    rows = [*result["held_back"], *result["refused"]]
    return (
        "; ".join(f"row {row['row']}: {row['code']}: {row['cause']}" for row in rows[:_SHOWN_MAX]) or "it has no rows"
    )
