"""The tree-shaped formats: how each is read, known by its first bytes, and written. Another format is one line here."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from adapters import (
    read_bai2,
    read_ber,
    read_fedwire,
    read_fin,
    read_freeswitch,
    read_json,
    read_misp,
    read_nacha,
    read_stix,
    read_xml,
    write_fin,
    write_stix,
)
from adapters.profile import Source, Writing
from adapters.tree import Broken, Element

Read = Callable[[bytes, Source], Iterator[Element | Broken]]
"""Yields the root of each document, and what cannot be read. FileRefused when nothing can."""
Write = Callable[[Sequence[Element], Writing], bytes]
Ranges = Callable[[bytes, Element], dict[int, tuple[int, int]]]


class TreeFormat(NamedTuple):
    """What a format needs. Modules with slow libraries are imported inside their functions."""

    read: Read
    seems: Callable[[bytes], bool]
    """A cheap look at the first bytes, for identify."""
    write: Write | None = None
    """None where the format is only read."""
    ranges: Ranges | None = None
    """Byte ranges of a document's elements, by their id; None where the reader puts them into the elements."""


READERS: dict[str, TreeFormat] = {
    "xml": TreeFormat(read_xml.read, read_xml.seems, read_xml.write, read_xml.ranges),
    "json": TreeFormat(read_json.read, read_json.seems, read_json.write),
    "freeswitch": TreeFormat(read_freeswitch.read, read_freeswitch.seems),
    "misp": TreeFormat(read_misp.read, read_misp.seems, read_misp.write),
    "stix": TreeFormat(read_stix.read, read_stix.seems, write_stix.write),
    "fin": TreeFormat(read_fin.read, read_fin.seems, write_fin.write),
    "nacha": TreeFormat(read_nacha.read, read_nacha.seems),
    "bai2": TreeFormat(read_bai2.read, read_bai2.seems),
    "fedwire": TreeFormat(read_fedwire.read, read_fedwire.seems),
    "ber": TreeFormat(read_ber.read, read_ber.seems),
}
"""By the name in [source] format."""
