"""What a text from outside comes in, looked at before anybody reads the text.

Some editors and shells put a byte order mark before UTF-8, or write UTF-16, and a file may have been
compressed. internal/plaintext does the same for the programs in Go.
"""

from __future__ import annotations

MARK = b"\xef\xbb\xbf"
"""The byte order mark in UTF-8, which means nothing there (RFC 3629, section 6)."""

LONGEST = 4
"""How many bytes tell what a text comes in."""

# A longer beginning stands before a shorter one that it begins with.
_OTHERS = (
    (b"\xff\xfe\x00\x00", "UTF-32: write it as UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32: write it as UTF-8"),
    (b"\xff\xfe", "UTF-16: write it as UTF-8"),
    (b"\xfe\xff", "UTF-16: write it as UTF-8"),
    (b"\x1f\x8b", "compressed by gzip: unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it"),
    (b"BZh", "compressed by bzip2: unpack it"),
    (b"\xfd7zX", "compressed by xz: unpack it"),
    (b"\x04\x22\x4d\x18", "compressed by lz4: unpack it"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it"),
    (b"PK\x03\x04", "a zip archive: unpack it"),
)


class ContainerError(ValueError):
    """A text comes in something else than UTF-8; says what, and what to do about it."""


def trim(text: bytes) -> bytes:
    """The text without its byte order mark; what begins otherwise is not looked at.

    Raises ContainerError for what is not UTF-8 by its first bytes.
    """
    for beginning, what in _OTHERS:
        if text.startswith(beginning):
            raise ContainerError(f"it is {what}")
    if wide := _wide(text):
        raise ContainerError(f"it is {wide} without a byte order mark: write it as UTF-8")
    return text.removeprefix(MARK)


def _wide(text: bytes) -> str | None:
    """The encoding of a text whose first characters are ASCII in two bytes each, in the same order, or
    whose first is in four. No text has a character of zeros."""
    match [byte == 0 for byte in text[:LONGEST]]:
        case [False, True, False, True] | [True, False, True, False]:
            return "UTF-16"
        case [False, True, True, True] | [True, True, True, False]:
            return "UTF-32"
    return None
