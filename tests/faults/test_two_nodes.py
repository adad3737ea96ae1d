"""One node only may run in a directory."""

import pytest

from deploy.demo.federation import NodeProcess
from tests.faults.house import House

pytestmark = [pytest.mark.broker, pytest.mark.faults]


def test_a_second_node_in_a_directory_is_refused(house: House) -> None:
    """The second node ends with cause, cure and code; the first runs on, with its key service and its socket."""
    first = house.nodes["centre"]
    first.start()
    key_service = first.key_service_pid()
    with pytest.raises(RuntimeError) as caught:
        NodeProcess(house.node("centre")).start()
    assert "LF-NODE-RUNNING: a node runs in this directory already" in str(caught.value)
    assert "`lianfang node status`" in str(caught.value)
    assert house.call("centre", "status")["agency"] == house.name("centre")
    assert first.key_service_pid() == key_service != 0
    assert (house.node("centre") / "node.pid").read_text().strip() == str(first.pid)
