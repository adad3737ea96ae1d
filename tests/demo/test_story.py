"""The whole story, as a user plays it: one command, its JSON, and what lies in the folders after it."""

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from audit import leaf as leaf_format
from audit import tiles
from audit.v1 import leaf_pb2
from audit.verify import verify_directory
from bus import control
from bus.errors import Retry
from deploy.demo.core_system import count_decisions, count_effects
from deploy.demo.police_system import Result, read_result
from deploy.demo.stage import FILES
from tests.demo.bank_files import BAD_ID, GOOD, NO_HOP, RUINED, Row, bank_file

ROOT = Path(__file__).resolve().parents[2]
AGENCIES = ["auditor", "bank-a", "bank-b", "centre", "platform-d", "police-a", "telecom-c"]
UNSEEN = (RUINED, NO_HOP, GOOD, BAD_ID, RUINED)
OWN_FILES = ("handover", "bank-b-core-system")
"""Below these names lie the files of agencies' own systems, which hold what the agency may hold."""
pytestmark = pytest.mark.timeout(300)
PLAY_S = 240
BROKER = pytest.param("rabbitmq", marks=pytest.mark.broker)
MOBILE = re.compile(r"1[3-9][0-9]{9}")


@dataclass(frozen=True)
class Run:
    """One run of the command, and where it ran."""

    folder: Path
    code: int
    out: str
    said: str

    @property
    def result(self) -> dict[str, Any]:
        """The JSON object that is all of standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def export(self, agency: str) -> Path:
        """Return where an agency's log was exported to."""
        return Path(next(log["export"] for log in self.result["logs"] if log["agency"] == agency))

    def leaves(self, agency: str) -> list[leaf_pb2.Leaf]:
        """Return every entry of an exported log."""
        bundles = sorted((self.export(agency) / "tile" / "entries").rglob("*"), key=lambda path: path.as_posix())
        return [
            leaf_format.decode(entry)
            for path in bundles
            if path.is_file()
            for entry in tiles.unbundle(path.read_bytes())
        ]

    def answers(self) -> dict[str, list[Result]]:
        """Return what the police's case system was given, by code."""
        found: dict[str, list[Result]] = {}
        for path in (self.folder / "demo" / "police-a" / "handover" / "out").glob("*.xml"):
            answer = read_result(path.read_bytes())
            found.setdefault(answer.tx_code, []).append(answer)
        return found


def _play(folder: Path, *options: str) -> Run:
    """Run the command in a folder of its own, so that broker and agencies are of this run alone."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bus", "demo", "--dir", str(folder / "demo"), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PLAY_S, check=False)
    return Run(folder, done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Return a function that plays once per name, also when several workers ask for it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def play(name: str, rows: tuple[Row, ...] | None, *options: str) -> Run:
        folder = shared / f"demo-{name}"
        folder.mkdir(exist_ok=True)
        kept = folder / "run.json"
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                given = list(options)
                if rows is not None:
                    (folder / "input.csv").write_bytes(bank_file(*rows))
                    given += ["--input", str(folder / "input.csv")]
                run = _play(folder, *given)
                kept.write_text(json.dumps([run.code, run.out, run.said]))
        return Run(folder, *json.loads(kept.read_text()))

    return play


@pytest.fixture(params=["memory", BROKER])
def unseen(request: pytest.FixtureRequest, played: Callable[..., Run]) -> Run:
    """The story on a bank file that it has not seen, on each transport."""
    return played(f"unseen-{request.param}", UNSEEN, "--json", "--transport", request.param)


@pytest.fixture
def own(played: Callable[..., Run]) -> Run:
    """The story on its own files."""
    return played("own", None, "--json", "--transport", "memory")


def test_the_result_has_the_fixed_shape(unseen: Run) -> None:
    """Every key is there, no other, each with its type; other tools rely on it."""
    assert unseen.code == 0, unseen.said
    result = unseen.result
    shape = {name: type(value) for name, value in result.items()}
    assert shape == {
        "ok": bool,
        "transport": str,
        "duration_ms": int,
        "dir": str,
        "nodes": list,
        "steps": list,
        "refusals": list,
        "held_back": list,
        "logs": list,
    }
    rows = {
        "nodes": {"agency": str, "pid": int, "dir": str},
        "steps": {"name": str, "from": str, "to": str, "ms": int, "entry": int},
        "refusals": {"agency": str, "rule": str, "reason": str},
        "held_back": {"row": int, "code": str, "cause": str, "cure": str},
        "logs": {"agency": str, "entries": int, "verified": bool, "export": str},
    }
    for name, fields in rows.items():
        assert result[name] != []
        for row in result[name]:
            assert {key: type(value) for key, value in row.items()} == fields
    assert result["ok"] is True
    assert [node["agency"] for node in result["nodes"]] == AGENCIES
    assert [log["agency"] for log in result["logs"]] == AGENCIES


def test_nodes_are_processes_of_their_own_and_gone(unseen: Run) -> None:
    """On RabbitMQ seven processes, in memory one; after the story none of them is left."""
    pids = {node["pid"] for node in unseen.result["nodes"]}
    assert len(pids) == (7 if unseen.result["transport"] == "rabbitmq" else 1)
    assert not [pid for pid in pids if _runs_in(pid, unseen.folder)]
    assert not [path for path in Path("/proc").glob("[0-9]*") if _runs_in(int(path.name), unseen.folder)]


def _runs_in(pid: int, folder: Path) -> bool:
    """Say whether a process was started for a folder."""
    try:
        return str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_every_good_row_became_one_notice(unseen: Run) -> None:
    """Three of five rows are sent, each once; the log of bank-a says so, not only the command."""
    sent = [
        leaf
        for leaf in unseen.leaves("bank-a")
        if leaf.kind == leaf_pb2.KIND_INTENT and leaf.message_type.endswith("SuspiciousAccountNotice")
    ]
    assert len(sent) == 3
    assert len({leaf.exchange for leaf in sent}) == 3


def test_ruined_rows_are_held_back_with_their_reason(unseen: Run) -> None:
    """Both rows in scientific notation are held back, by number, code, cause and cure; no digit is guessed."""
    held = unseen.result["held_back"]
    assert [(row["row"], row["code"]) for row in held] == [(1, "LF-ROW-LOSSY-NUMBER"), (5, "LF-ROW-LOSSY-NUMBER")]
    assert all("scientific" in row["cause"] and "export" in row["cure"] for row in held)
    assert [leaf.action for leaf in unseen.leaves("bank-a")].count(leaf_pb2.ACTION_HOLD_BACK) >= 1


def test_refusals_name_their_rules_and_stand_in_the_logs(unseen: Run) -> None:
    """Police are refused the balance by OP-02, the order without papers falls to FB-06; each is an entry of its log."""
    refusals = [(item["agency"], item["rule"]) for item in unseen.result["refusals"]]
    assert refusals == [("police-a", "OP-02"), ("bank-b", "FB-06")]
    for agency, rule in refusals:
        denials = [leaf for leaf in unseen.leaves(agency) if leaf.kind == leaf_pb2.KIND_DENIAL]
        assert any(rule in leaf.rule_ids for leaf in denials)
    assert "scans" in unseen.result["refusals"][1]["reason"]


def test_police_read_the_answers_in_their_own_dialect(unseen: Run) -> None:
    """0600 first, then 1200 with the balance; the freeze names what was before it; the release is done."""
    answers = unseen.answers()
    stops = sorted(answers["200102"], key=lambda item: item.application_id)
    assert [item.code for item in stops] == ["0600", "1200"]
    assert stops[1].elements["AccountBalance"] == "3920.00"
    (freeze,) = answers["200202"]
    assert freeze.code == "0000"
    assert freeze.elements["FormerApplicationDepartment"] == "演示区人民法院"
    assert freeze.elements["FormerFrozenBalance"] == "980.00"
    assert freeze.elements["FormerFrozenExpireTime"] == "20991231235959"
    assert freeze.elements["FrozedBalance"] == "2940.00"
    assert [item.code for item in answers["200204"]] == ["0000"]


def test_the_core_system_did_each_order_once(unseen: Run) -> None:
    """Stop, freeze and release: three decisions, three effects; the order without papers never came to it."""
    ledger = unseen.folder / "demo" / "bank-b-core-system" / "ledger.jsonl"
    assert sorted(count_effects(ledger).values()) == [1, 1, 1]
    assert count_decisions(ledger) == count_effects(ledger)


def test_the_core_system_was_given_its_own_dialect(unseen: Run) -> None:
    """What lies in the core system's folder is Response 100101, 100201 and 100203, about the next account."""
    folder = unseen.folder / "demo" / "bank-b" / "handover" / "out" / "taken"
    orders = [etree.fromstring(path.read_bytes()) for path in folder.glob("*.xml")]
    assert {order.tag for order in orders} == {"Response"}
    assert sorted(order.findtext("Head/TxCode") or "" for order in orders) == ["100101", "100201", "100203"]
    assert {order.findtext("Body/AccountNumber") for order in orders} == {GOOD.next_hop}
    papers = {
        len(order.findall("Body/Attachments/Attachment"))
        for order in orders
        if order.findtext("Head/TxCode") == "100101"
    }
    assert papers == {3}


def test_every_step_names_an_entry_of_its_own_log(unseen: Run) -> None:
    """The entry of a step is one of the log of the agency that it comes from."""
    sizes = {log["agency"]: log["entries"] for log in unseen.result["logs"]}
    names = [step["name"] for step in unseen.result["steps"]]
    assert len(names) == len(set(names)) == 20
    for step in unseen.result["steps"]:
        assert 0 <= step["entry"] < sizes[step["from"]], step
        assert step["ms"] >= 0


def test_every_log_verifies_from_its_files_and_a_changed_copy_does_not(unseen: Run) -> None:
    """The exports verify under their keys and witnesses; one flipped byte is found."""
    for log in unseen.result["logs"]:
        report = verify_directory(Path(log["export"]))
        assert (report.ok, report.entries) == (True, log["entries"])
        assert len(report.cosigned) == 1
        assert (Path(log["export"]) / "vkey").read_text().startswith(report.origin)
    assert not verify_directory(unseen.folder / "demo" / "flipped" / "police-a").ok


def test_classed_values_are_in_no_file_but_those_of_the_agencies_own_systems(unseen: Run) -> None:
    """Neither logs, databases, exports nor the broker's files hold an account, a name or a number; the search can find."""
    planted = {value for row in UNSEEN for value in row.planted()} - {RUINED.account}
    planted |= set(MOBILE.findall((FILES / "telecom-c-calls.csv").read_text(encoding="utf-8")))
    encoded = {text.encode(encoding): text for text in planted for encoding in ("utf-8", "gb18030", "utf-16-le")}
    found: dict[Path, set[str]] = {}
    for path in unseen.folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name != "input.csv":
            content = path.read_bytes()
            hits = {text for raw, text in encoded.items() if raw in content}
            if hits:
                found[path.relative_to(unseen.folder)] = hits
    own = {path for path in found if set(OWN_FILES) & set(path.parts)}
    assert own != set(), "the search finds nothing, not even where it must"
    assert {text for path in own for text in found[path]} == {GOOD.next_hop, GOOD.next_name}
    assert not {path: hits for path, hits in found.items() if path not in own}


def test_the_storys_own_files_play_too(own: Run) -> None:
    """The default files have a ruined row and good ones, and every scene is played with them."""
    assert own.code == 0, own.said
    assert own.result["ok"]
    assert [row["code"] for row in own.result["held_back"]] == ["LF-ROW-LOSSY-NUMBER"]
    assert len(own.result["steps"]) == 20


def test_another_file_gives_another_story(own: Run, unseen: Run) -> None:
    """Notices, held-back rows and exports follow the input."""

    def notices(run: Run) -> int:
        leaves = run.leaves("bank-a")
        return sum(
            leaf.kind == leaf_pb2.KIND_INTENT and leaf.message_type.endswith("SuspiciousAccountNotice")
            for leaf in leaves
        )

    assert notices(own) != notices(unseen)
    assert own.result["held_back"] != unseen.result["held_back"]


def test_a_file_without_a_next_account_is_played_as_far_as_it_goes(played: Callable[..., Run]) -> None:
    """Nothing is invented: without an account to stop there is no order, the logs still verify, and it is said."""
    run = played("no-hop", (NO_HOP,), "--json", "--transport", "memory")
    assert (run.code, run.result["ok"]) == (0, True)
    names = {step["name"] for step in run.result["steps"]}
    assert {"notices-sent", "spoofed-call-reported", "logs-verified"} <= names
    assert not [name for name in names if name.startswith(("stop", "freeze", "release"))]
    assert (run.result["refusals"], run.result["held_back"]) == ([], [])
    assert all(log["verified"] for log in run.result["logs"])


def test_the_timeline_fits_and_shows_no_classed_value(played: Callable[..., Run]) -> None:
    """People read at most 100 columns, the reason of each refusal, masked accounts, and what to try next."""
    run = played("told", UNSEEN, "--transport", "memory")
    assert run.code == 0, run.said
    typed = [line for line in run.out.splitlines() if line.startswith("      ") and "/lianfang " in line]
    assert max(len(line) for line in run.out.splitlines() if line not in typed) <= 100
    shown = run.out + run.said
    assert not [value for row in UNSEEN for value in row.planted() if value in shown]
    for expected in (
        "OP-02",
        "FB-06",
        "0600",
        "1200",
        "id_checksum_bad",
        "all logs verify",
        "Try next",
        GOOD.account[-4:],
    ):
        assert expected in shown


def test_a_file_of_no_known_dialect_is_refused_in_one_message(tmp_path: Path) -> None:
    """Code, cause and cure as JSON, exit code 2, before anything is started."""
    (tmp_path / "input.csv").write_bytes(b"a,b,c\r\n1,2,3\r\n")
    run = _play(tmp_path, "--json", "--transport", "memory", "--input", str(tmp_path / "input.csv"))
    assert run.code == 2
    assert run.result["ok"] is False
    assert run.result["code"].startswith("LF-FILE")
    assert run.result["cure"] != ""
    assert not (tmp_path / "demo").exists()


def test_a_folder_that_is_no_demos_is_left_alone(tmp_path: Path) -> None:
    """A directory with somebody's files in it is refused, and they are still there."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("mine")
    run = _play(tmp_path, "--json", "--transport", "memory")
    assert (run.code, run.result["code"]) == (2, "LF-DEMO-DIRECTORY")
    assert (tmp_path / "demo" / "mine.txt").read_text() == "mine"


def test_an_input_that_is_not_there_is_said_before_anything_starts(tmp_path: Path) -> None:
    """Nothing is made for a file that does not exist."""
    run = _play(tmp_path, "--json", "--transport", "memory", "--input", str(tmp_path / "none.csv"))
    assert (run.code, run.result["code"]) == (2, "LF-DEMO-NO-INPUT")
    assert not (tmp_path / "demo").exists()


def test_served_it_runs_until_it_is_told_to_end(tmp_path: Path) -> None:
    """With --serve the result comes first, the nodes answer, and SIGTERM ends everything with exit code 0."""
    options = ["--json", "--serve", "--transport", "memory", "--dir", str(tmp_path / "demo")]
    command = [sys.executable, "-m", "bus", "demo", *options]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        result = json.loads(process.stdout.readline())
        node = next(Path(item["dir"]) for item in result["nodes"] if item["agency"] == "police-a")
        inbox = control.call(node, "inbox")
        process.terminate()
        assert process.wait(60) == 0
    assert {item["sender"] for item in inbox} == {"auditor", "bank-a", "bank-b", "telecom-c"}
    with pytest.raises(Retry):
        control.call(node, "status")


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    """While one plays in a directory, another is told to try later, and takes nothing away."""
    (tmp_path / "demo").mkdir()
    with (tmp_path / "demo" / "demo.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        (tmp_path / "demo" / "theirs").touch()
        run = _play(tmp_path, "--json", "--transport", "memory")
    assert (run.code, run.result["code"]) == (75, "LF-DEMO-RUNNING")
    assert (tmp_path / "demo" / "theirs").exists()


def test_a_node_that_a_killed_demo_left_is_ended(tmp_path: Path) -> None:
    """Whoever still holds a node's lock in the folder is ended before the folder is made anew."""
    (tmp_path / "demo" / "bank-a").mkdir(parents=True)
    (tmp_path / "demo" / "demo.lock").touch()
    code = "import sys, time, pathlib; from bus.process import lock; held = lock(pathlib.Path(sys.argv[1])); "
    command = [
        sys.executable,
        "-c",
        code + "print('held', flush=True); time.sleep(60)",
        str(tmp_path / "demo" / "bank-a"),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as left:
        assert left.stdout is not None
        assert left.stdout.readline() == b"held\n"
        run = _play(tmp_path, "--json", "--transport", "memory")
        assert left.wait(10) != 0
    assert run.code == 0, run.said
