"""The samples for systemd: what it takes without a warning, and how little of the machine it leaves to the two services."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
ANALYZE = shutil.which("systemd-analyze")
EXPOSURE_MAX = {"lianfang-keys.service": 15, "lianfang-node.service": 25}
"""Tenths of systemd's own measure, of which 100 is a service without any protection."""

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with a program that exists on this machine."""
    for path in UNITS.glob("*.service"):
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", path.read_text(), flags=re.MULTILINE)
        (tmp_path / path.name).write_text(text)
    return tmp_path


@needs_systemd
def test_systemd_takes_the_units_without_a_word(units: Path):
    """No setting of the samples is unknown to systemd or wrong."""
    paths = sorted(map(str, units.glob("*.service")))
    done = subprocess.run([ANALYZE, "verify", *paths], capture_output=True, text=True, check=False, timeout=100)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "lianfang" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize("name", EXPOSURE_MAX)
def test_the_units_leave_little_of_the_machine_to_the_services(units: Path, name: str):
    """Measured by systemd itself; a unit without its protections fails the same measure."""

    def is_closed(path: Path) -> bool:
        measure = [ANALYZE, "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_MAX[name]}", str(path)]
        done = subprocess.run(measure, capture_output=True, text=True, check=False, timeout=100)
        if "unrecognized option" in done.stderr:
            pytest.skip("systemd-analyze here measures no unit that is not loaded")
        return done.returncode == 0

    assert is_closed(units / name)
    bare = [line for line in (units / name).read_text().splitlines() if not line.startswith(("Protect", "Private"))]
    (units / name).write_text("\n".join(bare))
    assert not is_closed(units / name)


def test_users_group_and_places_are_the_same_everywhere():
    """What the units name is what the users' file makes: two users, neither root, one group for the socket."""
    keys, node = (_unit(f"lianfang-{name}.service")["Service"] for name in ("keys", "node"))
    made = [line.split() for line in (UNITS / "lianfang.sysusers").read_text().splitlines() if line[:1] in "gum"]
    users = {words[1] for words in made if words[0] == "u"}
    assert {keys["User"], node["User"]} == users
    assert len(users) == 2
    assert {keys["Group"], node["Group"]} == {words[1] for words in made if words[0] == "g"}
    assert {(words[1], words[2]) for words in made if words[0] == "m"} == {(user, keys["Group"]) for user in users}
    assert keys["ExecStart"].endswith(f"/var/lib/{keys['StateDirectory']}")
    assert node["InaccessiblePaths"] == f"/var/lib/{keys['StateDirectory']}"


def _unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parsed.optionxform = str  # systemd's names have capitals
    parsed.read(UNITS / name)
    return parsed
