"""Fixtures for the whole suite."""

from tests.figures import pytest_terminal_summary
from tests.fixtures_broker import broker, broker_agencies, own_broker

__all__ = ["broker", "broker_agencies", "own_broker", "pytest_terminal_summary"]
