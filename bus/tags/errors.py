"""What can go wrong with match tags."""

from bus.errors import BusError


class TagRefused(BusError):
    """Something that a tag should be made of does not hold; no tag was made. The code says what."""

    code = "LF-TAG-REFUSED"
    exit_code = 4
