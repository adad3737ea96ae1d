"""Every reader against invented files, guided by which of our lines they reach (`make soak`)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import adapters

ROOT = Path(__file__).parents[2]
SECONDS = int(os.environ.get("LIANFANG_FUZZ_SECONDS", "120"))
FORMATS = sorted({profile.file.source.format for profile in adapters.profiles().values()})


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("file_format", FORMATS)
def test_no_file_of_a_format_ends_in_a_fault(file_format: str, tmp_path: Path) -> None:
    """Whatever a file holds, it becomes messages or reasons within ten seconds and a gigabyte."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    limits = (f"-max_total_time={SECONDS}", "-timeout=10", "-rss_limit_mb=1024", "-max_len=65536")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.fuzz_reader", file_format, corpus),
            *limits,
            *("-print_final_stats=1", f"-artifact_prefix={tmp_path}/"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr[-3000:]}\nthe input is in {tmp_path}"
    tried = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    assert tried is not None, done.stderr[-3000:]
    print(f"{file_format}: {int(tried[1]):,} inputs in {SECONDS} s, no fault")
    assert int(tried[1]) > 100
