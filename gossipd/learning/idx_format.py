"""The IDX file format of MNIST and its kin, read strictly and within bounds. Pure numpy.

    bytes 0, 1   zero
    byte  2      type of the elements; 0x08 = unsigned byte, the only one used here
    byte  3      number of dimensions
    then         each dimension as a big-endian uint32, then the elements, last dimension fastest

http://yann.lecun.com/exdb/mnist/ ; a name that ends in .gz is decompressed while it is read.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from gossipd.learning.errors import DataError

MOST_BYTES = 1 << 30
"""Of one file, decompressed: five times the largest data set of this family (EMNIST)."""

_UNSIGNED_BYTE = 0x08
_HINT = "put the original file in its place"


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of one IDX file of unsigned bytes with this many dimensions; else DataError."""
    try:
        with _opened(path) as file:
            return _read(file, path, dimensions)
    except FileNotFoundError as error:
        raise DataError(path, "no such file", "check the path of the data") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"cannot be read: {error}", _HINT) from error


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _read(file: BinaryIO, path: Path, dimensions: int) -> NDArray[np.uint8]:
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions:
        raise DataError(path, f"ends after {len(header)} bytes, inside its header", _HINT)
    expected = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if header[:4] != expected:
        raise DataError(path, f"starts with {header[:4].hex()}, not {expected.hex()}", _HINT)
    shape = struct.unpack(f">{dimensions}I", header[4:])
    size = math.prod(shape)
    if size > MOST_BYTES:
        raise DataError(path, f"declares {shape}, over {MOST_BYTES} bytes", "use a smaller set")
    # One byte more than declared: it must not be there. (And a compressed bomb stops here.)
    body = file.read(size + 1)
    if len(body) < size:
        raise DataError(path, f"ends after {len(body)} of {size} bytes of data", _HINT)
    if len(body) > size:
        raise DataError(path, f"goes on after its {size} bytes of data", _HINT)
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)
