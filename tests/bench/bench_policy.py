"""How long decisions take."""

import time
from typing import Any

from bus.policy.bundle import plan_seal
from bus.policy.table import golden_request
from tests.policy.federation import NOW_MS, bundle

ROUNDS = 50


GOALS_US = {"permit": 20.0, "denial": 20.0, "seal plan, 11 classes, 4 recipients": 1000.0}
"""DESIGN §11. Policy has no rival here that reads the same rows: the goal stands in its place."""


def run() -> list[dict[str, Any]]:
    """Return microseconds: a permit, a denial (both over the golden questions), and a seal plan."""
    held = bundle()
    questions = [(golden.permitted, golden_request(golden, NOW_MS)) for golden in held.goldens]
    taken = {}
    for name, wanted in (("permit", True), ("denial", False)):
        chosen = [request for permitted, request in questions if permitted is wanted]
        taken[name] = _best(lambda chosen=chosen: [held.decide(request) for request in chosen]) / len(chosen)
    recipients = {"police-1": "police", "police-2": "police", "police-3": "police", "centre-1": "centre"}
    classes = frozenset(next(rule for rule in held.rules if rule.id == "SE-01").classes)
    taken["seal plan, 11 classes, 4 recipients"] = _best(
        lambda: plan_seal(
            held,
            message_type="SuspiciousAccountNotice",
            purpose="early_warning",
            legal_basis="ATF18",
            sender="bank-1",
            sender_type="bank",
            recipients=recipients,
            present_classes=classes,
            now_ms=NOW_MS,
        )
    )
    return [_row(name, taken[name], goal) for name, goal in GOALS_US.items()]


def _row(name: str, ours_us: float, goal_us: float) -> dict[str, Any]:
    return {
        "name": f"policy: {name}",
        "ours": ours_us,
        "rival": "the most it may take",
        "rival_value": goal_us,
        "unit": "us/decision",
        "ratio": goal_us / ours_us,
        "goal": 1.0,
    }


def _best(work) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) * 1e6
