"""How long decisions take. `python -m tests.bench.bench_policy` prints it."""

import time

from bus.policy.bundle import plan_seal
from bus.policy.files import NAMES, read
from bus.policy.table import golden_request
from tests.policy.federation import DIRECTORY, NOW_MS, bundle

ROUNDS = 50


def run() -> dict[str, float]:
    """Return microseconds: a permit, a denial (both over the golden questions), a seal plan, and the reading of a bundle."""
    held = bundle()
    questions = [(golden.permitted, golden_request(golden, NOW_MS)) for golden in held.goldens]
    result = {}
    for name, wanted in (("permit_us", True), ("denial_us", False)):
        chosen = [request for permitted, request in questions if permitted is wanted]
        result[name] = _best(lambda chosen=chosen: [held.decide(request) for request in chosen]) / len(chosen)
    recipients = {"police-1": "police", "police-2": "police", "police-3": "police", "centre-1": "centre"}
    classes = frozenset(next(rule for rule in held.rules if rule.id == "SE-01").classes)
    result["seal_plan_11x4_us"] = _best(
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
    contents = {name: (DIRECTORY / name).read_bytes() for name in NAMES}
    started = time.perf_counter()
    read(contents)
    result["read_us"] = (time.perf_counter() - started) * 1e6
    return result


def _best(work) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) * 1e6


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:20} {value:10.1f}")
