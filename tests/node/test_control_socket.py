"""The control socket, against other users of the machine."""

import os
import stat
from pathlib import Path

import pytest

from bus.control import SOCKET_NAME, ControlServer


def test_the_socket_is_its_owners_and_no_folder_is_spoilt_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its owner may speak to it; and the mask, which holds for every thread, takes no folder's owner its rights."""
    masks = []
    set_mask = os.umask
    monkeypatch.setattr(os, "umask", lambda mask: masks.append(mask) or set_mask(mask))
    server = ControlServer(tmp_path, {}, {})
    server.start()
    try:
        assert stat.S_IMODE((tmp_path / SOCKET_NAME).stat().st_mode) == 0o600
        assert all(mask & 0o700 == 0 for mask in masks)
    finally:
        server.stop()
