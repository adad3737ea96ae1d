"""Coverage-guided fuzzing of the readers of one format: `python -m tests.fuzz.fuzz_reader FORMAT CORPUS [libFuzzer options]`.

The first byte of an input chooses a profile of that format, the rest is the file. Whatever the file is, it becomes
messages and records held back, or is refused with a code; every value knows where it came from. Anything else ends the
run, and libFuzzer writes down the input.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["adapters"]):
    import adapters
    from adapters.convert import convert
    from adapters.detect import identify
    from adapters.errors import FileRefused
    from adapters.model import Converted
    from adapters.profile import Profile
    from adapters.workbook_file import UNPACKED_BYTES_MAX

from tests.fuzz.seeds import seeds


def profiles_of(file_format: str) -> tuple[Profile, ...]:
    """Return the profiles that read a format, in the order of their names."""
    return tuple(found for _, found in sorted(adapters.profiles().items()) if found.file.source.format == file_format)


def read(profile: Profile, data: bytes) -> None:
    """Read a file as a profile says. Any exception but FileRefused is a finding."""
    try:
        for outcome in convert(profile, data):
            assert outcome.record >= 1
            assert outcome.line >= 1
            if isinstance(outcome, Converted):
                outcome.message.SerializeToString()
                for found in outcome.lineage:
                    last = UNPACKED_BYTES_MAX if found.part else len(data)  # in a workbook bytes are those of a member
                    assert -1 <= found.start <= found.end <= last
            else:
                assert outcome.code  # ours, or the id of a rule in the .proto
                assert outcome.cure
    except FileRefused as error:
        assert error.code.startswith("LF-")  # noqa: PT017 - not a test: the code of a refusal is what is looked at
        assert error.cure  # noqa: PT017 - likewise


def main(arguments: Sequence[str]) -> None:
    """Fuzz until libFuzzer's own limits (-runs, -max_total_time) end it."""
    file_format, corpus, *options = arguments
    chosen = profiles_of(file_format)
    for number, (name, data) in enumerate(seeds(chosen)):
        (Path(corpus) / f"seed-{number:04}").write_bytes(bytes([[one.name for one in chosen].index(name)]) + data)

    def one_input(data: bytes) -> None:
        if data:
            read(chosen[data[0] % len(chosen)], data[1:])
            if data[0] >= 0xF0:
                identify(data[1:])

    atheris.Setup([sys.argv[0], corpus, *options], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
