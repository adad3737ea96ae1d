"""Fixtures for the whole suite."""

from tests.fixtures_broker import broker, broker_agencies, own_broker

__all__ = ["broker", "broker_agencies", "own_broker"]
