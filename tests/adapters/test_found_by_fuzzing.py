"""Files that fuzzing found: each once ended in a fault of ours, and ends in messages or reasons since."""

import pytest

import adapters
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import HeldBack

ORDER = """<Request><Head><TxCode>200101</TxCode><TransSerialNumber>1_2</TransSerialNumber></Head><Body>
<ApplicationID>A1</ApplicationID><AccountNumber>6222020200012345678</AccountNumber>
<Attachments><Attachment><Filename>01a.jpg</Filename><Content>{}</Content></Attachment></Attachments></Body></Request>"""


def reasons(profile: str, data: bytes) -> list[str]:
    """Return the codes for which a file, or what is in it, is refused."""
    try:
        return [found.code for found in convert(adapters.profiles()[profile], data) if isinstance(found, HeldBack)]
    except FileRefused as error:
        return [error.code]


@pytest.mark.parametrize("content", ["é", "QUI"])
def test_a_paper_in_letters_that_base64_has_not_is_refused(content: str) -> None:
    """Letters beyond ASCII in a paper's base64 hold the record back, as any other bad base64 does."""
    assert reasons("tfms-police", ORDER.format(content).encode()) == ["LF-ROW-PAPER"]


def test_three_bytes_that_are_a_mark_in_another_encoding_are_text() -> None:
    """A GB18030 file may begin with the bytes of UTF-8's byte order mark; they are its first letters and stay."""
    data = b"\xef\xbb\xbf\xf4" + "\n账号,可疑特征\n6222020200012345678,2001\n".encode("gb18030")
    with pytest.raises(UnicodeDecodeError):
        data.decode("utf-8-sig")
    assert reasons("bank-notice-csv", data) == []
