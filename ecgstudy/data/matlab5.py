"""Read one structure of plain arrays from a MATLAB v5 file, strictly: every length is checked before it is followed.

A general reader follows the lengths that a damaged file states, and that of SciPy ends the whole process on some of them. What
is read here is the part of the MAT-File Format (The MathWorks, level 5) that the original CPSC2018 release uses: a 1 x 1
structure, as it is or compressed, whose fields are numbers and text.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HEADER_BYTES = 128
LARGEST = 2**26                     # bytes of one decompressed variable: 23 minutes of twelve leads at 500 Hz
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
NUMBERS = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
TEXTS = {2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
STRUCTURE, CHARACTERS, NUMERIC = 2, 4, frozenset(range(6, 16))      # classes of an array
COMPLEX, LOGICAL = 0x800, 0x200

Element = tuple[int, memoryview]    # data type, content


def read_structure(path: Path, name: str) -> dict[str, np.ndarray | str]:
    """The fields of the structure `name`: numeric arrays as they are stored, text as str.

    Raises ValueError, saying what is wrong, where the file is not whole or holds anything else than described above.
    """
    content = memoryview(Path(path).read_bytes())
    if len(content) < HEADER_BYTES or content[:10] != b"MATLAB 5.0" or content[126:128] != b"IM":
        raise ValueError("it does not begin as a little-endian MATLAB 5.0 file")
    for kind, body in _elements(content[HEADER_BYTES:]):
        if kind == COMPRESSED:
            (kind, body), = _exactly(1, _elements(_decompressed(body)))
        if kind == MATRIX and _text(INT8, *_exactly(3, _elements(body), or_more=True)[2]) == name:
            return _fields(body)
    raise ValueError(f"it has no variable {name}")


def _elements(content: memoryview) -> Iterator[Element]:
    """The data elements that fill `content`: a tag of type and length, then the bytes, padded to 8 (small ones lie in their tag)."""
    place = 0
    while place < len(content):
        if place + 8 > len(content):
            raise ValueError("it ends inside a tag")
        kind, length = struct.unpack_from("<II", content, place)
        if small := kind >> 16:                     # four bytes or fewer
            kind, length, start, step = kind & 0xFFFF, small, place + 4, 8
        else:
            start, step = place + 8, 8 + (length if kind == COMPRESSED else -(-length // 8) * 8)
        if length > (4 if small else len(content) - start):
            raise ValueError(f"an element declares {length} bytes where {max(len(content) - start, 0)} are left")
        yield kind, content[start:start + length]
        place += step


def _exactly(count: int, elements: Iterator[Element], or_more: bool = False) -> list[Element]:
    found = [element for _, element in zip(range(count if or_more else count + 1), elements, strict=False)]
    if len(found) != count:
        raise ValueError(f"{len(found)} elements stand where {count} are expected")
    return found


def _decompressed(body: memoryview) -> memoryview:
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(body, LARGEST)
    except zlib.error as error:
        raise ValueError(f"its compressed content is damaged: {error}") from None
    if not stream.eof:
        raise ValueError(f"its compressed content is cut short or longer than {LARGEST} bytes")
    return memoryview(content)


def _head(flags: Element, dimensions: Element) -> tuple[int, tuple[int, ...]]:
    """Class and shape of an array."""
    (flags_kind, flag_bytes), (dimensions_kind, sizes) = flags, dimensions
    if flags_kind != UINT32 or len(flag_bytes) != 8 or dimensions_kind != INT32 or len(sizes) != 8:
        raise ValueError("an array is not described as a matrix of two dimensions")
    word, = struct.unpack_from("<I", flag_bytes)
    shape = struct.unpack("<2i", sizes)
    if min(shape) < 0 or word & (COMPLEX | LOGICAL):
        raise ValueError(f"an array of {shape[0]} x {shape[1]} values is complex, logical or of negative size")
    return word & 0xFF, shape


def _fields(body: memoryview) -> dict[str, np.ndarray | str]:
    flags, dimensions, _, (width_kind, width), (names_kind, names), *values = _elements(body)
    if _head(flags, dimensions) != (STRUCTURE, (1, 1)):
        raise ValueError("it is not one structure")
    if width_kind != INT32 or len(width) != 4 or names_kind != INT8:
        raise ValueError("its field names cannot be read")
    size, = struct.unpack("<i", width)
    if size < 1 or len(names) != size * len(values):
        raise ValueError(f"it names fields in {len(names)} bytes of {size} each, but has {len(values)} fields")
    labels = [_text(INT8, INT8, names[start:start + size]) for start in range(0, len(names), size)]
    return {label: _array(*value) for label, value in zip(labels, values, strict=True)}


def _text(expected: int, kind: int, content: memoryview) -> str:
    if kind != expected:
        raise ValueError(f"a name is stored as data of type {kind}")
    return bytes(content).split(b"\0")[0].decode("ascii")


def _array(kind: int, body: memoryview) -> np.ndarray | str:
    if kind != MATRIX:
        raise ValueError(f"a field is data of type {kind}")
    flags, dimensions, _, (data_kind, data) = _exactly(4, _elements(body))
    of_class, shape = _head(flags, dimensions)
    if of_class == CHARACTERS and data_kind in TEXTS:
        text = bytes(data).decode(TEXTS[data_kind])
        if min(shape) > 1 or len(text) != math.prod(shape):
            raise ValueError(f"a text of {len(text)} signs is declared as {shape[0]} x {shape[1]}")
        return text
    if of_class not in NUMERIC or data_kind not in NUMBERS:
        raise ValueError(f"a field is an array of class {of_class}, stored as type {data_kind}")
    values = np.dtype(NUMBERS[data_kind])
    if len(data) != values.itemsize * math.prod(shape):
        raise ValueError(f"{shape[0]} x {shape[1]} values of {values.itemsize} bytes are declared, {len(data)} bytes are stored")
    return np.frombuffer(data, values).reshape(shape, order="F")
