"""Installing RabbitMQ from the distribution starts nothing, and leaves the machine's own policy alone."""

import os
import stat
from pathlib import Path

import pytest

from deploy.local import install, packages


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "_POLICY", path)
    return path


def test_services_are_kept_from_starting_and_the_policy_goes_again(policy: Path) -> None:
    """While the package is installed a policy says 101 to every start; afterwards it is gone."""
    with packages.no_service_start([]):
        assert policy.read_text(encoding="utf-8").splitlines()[-1] == "exit 101"
        assert stat.S_IMODE(policy.stat().st_mode) == 0o755
        assert os.waitstatus_to_exitcode(os.system(str(policy))) == 101
    assert not policy.exists()


def test_the_policy_goes_also_when_the_installation_fails(policy: Path) -> None:
    """A failed installation leaves no policy behind."""
    with pytest.raises(RuntimeError), packages.no_service_start([]):
        raise RuntimeError("apt failed")
    assert not policy.exists()


def test_a_policy_of_somebody_else_stays(policy: Path) -> None:
    """A machine that has a policy already keeps it, unchanged."""
    policy.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    with packages.no_service_start([]):
        assert policy.read_text(encoding="utf-8") == "#!/bin/sh\nexit 0\n"
    assert policy.exists()


def test_one_that_a_crash_of_ours_left_is_taken_away(policy: Path) -> None:
    """The policy of an earlier installation that was killed is recognised as ours."""
    policy.write_text(packages._POLICY_TEXT, encoding="utf-8")
    with packages.no_service_start([]):
        assert policy.exists()
    assert not policy.exists()


def test_only_a_new_node_of_the_package_is_ours_to_stop() -> None:
    """A node of the package or a port mapper on the usual port that is new; no private one, nothing that ran before."""
    package = "beam.smp -sname rabbit@host -mnesia dir /var/lib/rabbitmq/mnesia"
    cases = {
        (1, package): False,
        (2, package): True,
        (3, "epmd -daemon"): True,
        (4, "epmd -address 127.0.0.1 -port 29000"): False,
        (5, "beam.smp -sname lianfang-1@localhost"): False,
    }
    for (pid, command), expected in cases.items():
        assert install._is_ours_to_stop(pid, command, before={1: package}) is expected, command
