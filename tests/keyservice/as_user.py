"""Run a module as another user: `python -m tests.keyservice.as_user UID GID,GID… MODULE ARGUMENT…`, started by root.

The module is imported first: the other user need not be able to read this checkout. Exit code 77 says that it must all the
same, and cannot.
"""

import importlib
import os
import sys

from sqlalchemy import create_engine

CANNOT = 77


def become(uid: int, groups: list[int]) -> None:
    """Give up root for good; the first group is the own one."""
    os.setgroups(groups)
    os.setresgid(groups[0], groups[0], groups[0])
    os.setresuid(uid, uid, uid)


def main() -> None:
    """Import, give up root, run."""
    _, uid, groups, name, *arguments = sys.argv
    create_engine("sqlite://").connect().close()  # what SQLAlchemy imports late
    module = importlib.import_module(name)
    become(int(uid), [int(group) for group in groups.split(",")])
    if not os.access(module.__file__, os.R_OK):
        sys.exit(CANNOT)
    sys.argv = [name, *arguments]
    module.main()


if __name__ == "__main__":
    main()
