"""Read archives of unknown origin: nothing is unpickled, and nothing is allocated that a file of this size should not hold."""

import io
import math
import zipfile

import numpy as np
from numpy.lib import format as npy_format

MANY = 2**26
"""Bytes that a small file may always expand to."""
RATIO = 16
"""How many times its own size a larger file may expand to. Arrays of zeros compress further; results and weights do not."""


def limit_expansion(size: int) -> int:
    """Return how many bytes a file of this size may expand to."""
    return max(MANY, RATIO * size)


def check_expansion(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError if an archive of `size` bytes claims to expand to more than its limit."""
    total = sum(member.file_size for member in archive.infolist())
    if total > limit_expansion(size):
        raise ValueError(f"it would expand to {total / 2**20:,.0f} MiB, more than {RATIO} times its size")


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a file of an archive. It is never expanded beyond the size that the archive states. Raises BadZipFile for another size."""
    with archive.open(member) as stream:
        content = stream.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise zipfile.BadZipFile(f"{member.filename} has not the size that is stated")
    return content


def read_npz(content: bytes) -> dict[str, np.ndarray]:
    """Return a .npz file's arrays by name. Raises ValueError, or an error of zipfile or zlib, for a file that is not of arrays alone."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        check_expansion(archive, len(content))
        members = archive.infolist()
        return {member.filename.removesuffix(".npy"): _read_array(read_member(archive, member), member.filename) for member in members}


def _read_array(content: bytes, name: str) -> np.ndarray:
    """Return the array of a .npy file. Its header must not claim more than the file has."""
    stream = io.BytesIO(content)
    version = npy_format.read_magic(stream)
    read_header = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}.get(version)
    if read_header is None:
        raise ValueError(f"{name} has an unknown version of numpy's format")
    shape, _, dtype = read_header(stream)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are not read")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError(f"{name} is cut off, or its header is wrong")
    stream.seek(0)
    array: np.ndarray = npy_format.read_array(stream, allow_pickle=False)
    return array
