"""XML and JSON read piece by piece give what they give when read whole, and memory does not grow with the file."""

import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import adapters
from adapters import pieces, tree_stream
from adapters.convert import convert
from adapters.detect import identify
from adapters.errors import FileRefused
from adapters.golden import cases_in
from adapters.model import Converted
from adapters.source_file import file_given
from adapters.summary import identify_in
from tests.adapters.files import profile
from tests.bench.large_files import KINDS, write
from tests.bench.large_files import pieces as parts_of

ROOT = Path(__file__).parents[2]
FOLDER = resources.files("adapters") / "profiles"
CUT = sorted(name for name, held in adapters.profiles().items() if held.file.source.format in ("xml", "json"))
_CHECKED = """
import re, sys
from adapters import profiles, summary
from adapters.convert import convert
from adapters.source_file import file_given
from pathlib import Path
tally = summary.Tally()
for _ in tally.over(convert(profiles()[sys.argv[2]], file_given(Path(sys.argv[1])))):
    pass
print(tally.rows_in, tally.messages, tally.refused_count, re.findall(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[0])
"""


def told(name: str, data: bytes) -> list[Any]:
    """Return all that a reader of the outcomes sees of them."""
    try:
        return [shown(outcome) for outcome in convert(profile(name), data)]
    except FileRefused as refused:
        return [refused.code, refused.cause]


def shown(outcome: Any) -> tuple[Any, ...]:
    """Return an outcome as values that can be compared."""
    common = outcome.record, outcome.line
    if isinstance(outcome, Converted):
        return *common, outcome.message, outcome.warnings, sorted(outcome.lineage, key=str)  # their order means nothing
    return *common, outcome.code, outcome.cause, outcome.cure, outcome.column, outcome.others


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have every file cut that can be, into windows of two pieces; return the names of the profiles that were."""
    monkeypatch.setattr(tree_stream, "WHOLE_BYTES_MAX", 0)
    monkeypatch.setattr(pieces, "WINDOW_PIECES", 2)
    done: list[str] = []
    in_pieces = tree_stream._in_pieces

    def noted(held: Any, *rest: Any) -> Any:
        done.append(held.name)
        return in_pieces(held, *rest)

    monkeypatch.setattr(tree_stream, "_in_pieces", noted)
    return done


def cases(name: str) -> list[bytes]:
    return [case.data for case in cases_in(FOLDER / f"{name}.golden")]


@pytest.mark.parametrize("name", CUT)
def test_golden_files_come_out_alike_in_pieces(name: str, cut: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages, refusals, warnings, lineage with its bytes: each is the same whichever way it is read."""
    for data in cases(name):
        in_pieces = told(name, data)
        with monkeypatch.context() as patched:
            patched.setattr(tree_stream, "WHOLE_BYTES_MAX", len(data))
            assert in_pieces == told(name, data)


def test_golden_files_are_cut_at_all(cut: list[str]) -> None:
    """Most profiles of statements, payments, orders in lists and cases have a golden file that is read in pieces."""
    for name in CUT:
        for data in cases(name):
            told(name, data)
    assert {"iso20022-statement", "iso20022-payment", "case-json"} <= set(cut), sorted(set(cut))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_larger_file_comes_out_alike_in_pieces(
    kind: str, cut: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven windows of a file on disk give what the whole gives, and the beginning tells which dialect it is in."""
    name = KINDS[kind][0]
    path = tmp_path / "large"
    write(path, kind, 13)
    in_pieces = [shown(outcome) for outcome in convert(profile(name), file_given(path))]
    assert cut == [name]
    monkeypatch.setattr(tree_stream, "WHOLE_BYTES_MAX", path.stat().st_size)
    assert in_pieces == told(name, path.read_bytes())
    assert in_pieces


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_wrong_anywhere_refuses_the_file_before_its_first_record(kind: str, cut: list[str]) -> None:
    """Cut off in the middle, or with a fault in the last record, nothing comes out of it; whole or in pieces."""
    whole = "".join(parts_of(kind, 9)).encode()
    for broken in (whole[: len(whole) * 2 // 3], whole[:-40] + b"<\x00{" + whole[-40:]):
        with pytest.raises(FileRefused) as refused:
            convert(profile(KINDS[kind][0]), broken)
        assert refused.value.cure
    assert cut == []


def test_a_batch_that_does_not_add_up_is_held_back_in_pieces_too(cut: list[str]) -> None:
    """The sum of an entry's details is looked at in each window, and its statement has one outcome."""
    whole = "".join(parts_of("camt.053", 9))
    seventh = whole.split("<NtryDtls>")[7]
    detail = seventh[: seventh.index("</NtryDtls>")]
    bad = whole.replace(f"<NtryDtls>{detail}", f"<NtryDtls>{detail}{detail}", 1)
    assert [row[2] for row in told("iso20022-statement", bad.encode())] == ["LF-ROW-SUM"]
    assert cut == ["iso20022-statement"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_file_dropped_again_is_the_same_records(kind: str, cut: list[str]) -> None:
    """Read twice in pieces, a record has the same identity, and no two records have one."""
    whole = "".join(parts_of(kind, 9)).encode()
    first, again = (
        [outcome.identity for outcome in convert(profile(KINDS[kind][0]), whole) if isinstance(outcome, Converted)]
        for _ in range(2)
    )
    assert first == again
    assert len(set(first)) == len(first) > 0


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_beginning_of_a_large_file_says_what_it_is(kind: str, tmp_path: Path) -> None:
    """Of a file of more than a mebibyte the beginning is looked at, and fits what the whole fits."""
    path = tmp_path / "large"
    write(path, kind, 2000)
    assert path.stat().st_size > 1024 * 1024
    found = identify_in(file_given(path))
    assert found.chosen is not None
    assert found.chosen.profile == KINDS[kind][0] == identify(path.read_bytes()).fits[0].profile


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Cases in one JSON document: eight times the bytes take hardly more memory."""
    found = []
    for count in (4_000, 32_000):
        path = tmp_path / str(count)
        write(path, "cases", count)
        done = subprocess.run(
            [sys.executable, "-c", _CHECKED, str(path), "case-json"],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            timeout=240,
        )
        rows, messages, refused, memory = map(int, done.stdout.split())
        assert (rows, messages, refused) == (count, count, 0)
        found.append((path.stat().st_size, memory * 1024))
    (small, less), (large, more) = found
    assert large - small > 10_000_000
    assert more - less < 8_000_000, found
