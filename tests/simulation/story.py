"""The orders' way, for simulations: police-a orders, bank-b's core system decides, police-a's system gets the answer."""

import base64
from datetime import UTC, datetime
from pathlib import Path

from deploy.demo.case_file import Target
from deploy.demo.core_decisions import Account
from deploy.demo.core_system import CoreSystem, Ledger, count_effects
from deploy.demo.federation import AGENCIES
from deploy.demo.police_system import CaseSystem
from tests.simulator import Simulation

CASE = "A2026110700042"
CAST = {name: AGENCIES[name] for name in ("auditor", "bank-b", "centre", "police-a")}
TARGET = Target(
    account="6217000010001234567", holder="李四", amount="500.00", bank_id="102100099996", bank_name="演示银行"
)
STOP = {"purpose": "stop_payment", "legal_basis": "ATF20", "case": CASE}
_JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
_PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


class Story:
    """Orders in a simulation, and what came of them at the core system."""

    def __init__(self, simulation: Simulation, directory: Path) -> None:
        self.simulation = simulation
        self.ledger_path = directory / "ledger.jsonl"
        bank = simulation.federation.node("bank-b") / "handover"
        accounts = {TARGET.account: Account(TARGET.account, TARGET.holder, 1_000_000)}
        self._ledger = Ledger(self.ledger_path)
        self._core = CoreSystem(bank, accounts, self._ledger, lambda: "20261124120000")
        police = simulation.federation.node("police-a") / "handover"
        self._police = CaseSystem(police, CASE, datetime.fromtimestamp(simulation.clock.at_ms / 1000, UTC))
        self.papers = []
        for name, content in (("01-a.jpg", _JPEG), ("01-b.jpg", _JPEG + b"\n"), ("03-form.pdf", _PDF)):
            path = directory / name
            path.write_bytes(content)
            self.papers.append(path)
        simulation.hooks.append(self._core.run_once)
        self.orders: list[str] = []

    def order(self) -> str:
        """Send one order to stop; return its number."""
        number = self._police.application_id()
        data = self._police.stop(number, TARGET, self.papers)
        self.simulation.operation(
            "police-a",
            "send",
            data=base64.b64encode(data).decode(),
            to=["bank-b"],
            profile="tfms-police",
            companions={},
            **STOP,
        )
        self.orders.append(number)
        return number

    def check(self) -> None:
        """None lost, none done twice: each order had one effect, and its one answer lies at the police."""
        effects = count_effects(self.ledger_path)
        assert set(effects) <= set(self.orders)
        assert all(count == 1 for count in effects.values()), effects
        answers = {result.application_id for result in self._police.results()}
        assert answers == set(self.orders), (answers, self.orders)
        states = [row["state"] for row in self.simulation.operation("police-a", "orders")]
        assert states == ["answered"] * len(self.orders), states

    def close(self) -> None:
        self._ledger.close()
