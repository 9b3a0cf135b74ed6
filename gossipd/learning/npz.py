"""NumPy's NPZ files, read without pickle and within bounds. Pure numpy."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from gossipd.learning.errors import DataError

MOST_BYTES = 1 << 31
"""Of all arrays of a file, decompressed. Ours: what a laptop's training takes."""


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays by name. DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MOST_BYTES:
                raise DataError(path, f"holds more than {MOST_BYTES:,} bytes", "give a part of it")
            # Of a member no more is decompressed than its declared size.
            return {
                member.filename.removesuffix(".npy"): _array(archive.read(member))
                for member in members
            }
    except FileNotFoundError as error:
        raise DataError(path, "no such file", "check the path of the data") from error
    except (zipfile.BadZipFile, ValueError, EOFError, zlib.error, NotImplementedError) as error:
        raise DataError(path, f"is no NPZ file: {error}", "write it with numpy.savez") from error
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}", "check the file") from error


def _array(data: bytes) -> NDArray[Any]:
    return np.asarray(npy.read_array(io.BytesIO(data), allow_pickle=False))
