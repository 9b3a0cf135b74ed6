"""Small numbers and sorted positions as bits. Never a loop over elements."""

import numpy as np
from numpy.typing import NDArray

from gossipd.tensors.codec import Body, CodecError

Bytes = NDArray[np.uint8]
Positions = NDArray[np.int64]


# --- codes of 2, 4 or 8 bits ---------------------------------------------------------------------


def packed_size(count: int, bits: int) -> int:
    """Bytes of `count` codes."""
    return -(-count * bits // 8)


def pack(codes: Bytes, bits: int) -> Bytes:
    """Codes below 2**bits, `bits` 2, 4 or 8, the first one in the lowest bits of the first byte.

    What is left of the last byte is 0.
    """
    surplus = -codes.size % (8 // bits)
    packed = np.pad(codes, (0, surplus)) if surplus else codes
    while bits < 8:
        # Two neighbours lie in one little-endian number: the second moves down beside the first.
        pairs = packed.view("<u2")
        packed = (pairs | pairs >> (8 - bits)).astype(np.uint8)
        bits *= 2
    return packed


class Packed:
    """`count` packed codes as the signed numbers (two's complement) that they are."""

    def __init__(self, body: Body, bits: int, count: int) -> None:
        """CodecError("malformed") when what is left of the last byte is not 0."""
        self._bytes = np.frombuffer(body, np.uint8)
        self._per_byte = 8 // bits
        self._table = _table(bits)
        surplus = -count % self._per_byte
        if surplus and self._bytes[-1] >> (8 - surplus * bits):
            raise CodecError("malformed", "bits after the last number")

    def read(self, start: int, stop: int) -> NDArray[np.int8]:
        """int8 [stop - start]: the codes from `start` on."""
        if self._per_byte == 1:
            return self._bytes[start:stop].view(np.int8)
        first = start // self._per_byte
        taken = self._bytes[first : -(-stop // self._per_byte)]
        codes = np.take(self._table, taken).view(np.int8)
        shift = first * self._per_byte
        return codes[start - shift : stop - shift]


def _table(bits: int) -> NDArray[np.generic]:
    """For each byte the codes in it, sign-extended, side by side in one number."""
    every = np.arange(256, dtype=np.uint8)
    fields = [
        ((every >> shift << (8 - bits)).astype(np.uint8).view(np.int8) >> (8 - bits))
        for shift in range(0, 8, bits)
    ]
    codes = np.stack(fields, axis=1)
    return codes.view(f"<u{len(fields)}").ravel()


# --- sorted positions ----------------------------------------------------------------------------


class SortedPositions:
    """`count` of the positions 0 .. universe-1 in rising order, by Elias and Fano's code.

    The lowest l = floor(log2(universe / count)) bits of each are written as they are, bit plane by
    bit plane; the rest is delta-coded: each gap in unary, as that many zeros before a one. At most
    2 + log2(universe / count) bits a position, half a bit above the entropy where few are chosen,
    and always of the same length.
    """

    def __init__(self, count: int, universe: int) -> None:
        """1 <= count <= universe."""
        self._count, self._universe = count, universe
        self._low_bits = (universe // count).bit_length() - 1
        self._plane = -(-count // 8)
        self._unary = count + ((universe - 1) >> self._low_bits)
        self.size = self._low_bits * self._plane + -(-self._unary // 8)
        """Of the code in bytes."""

    def pack(self, positions: Positions) -> bytes:
        planes = [
            np.packbits((positions >> bit & 1).astype(np.uint8), bitorder="little")
            for bit in range(self._low_bits)
        ]
        unary = np.zeros(self._unary, np.uint8)
        unary[(positions >> self._low_bits) + np.arange(self._count)] = 1
        return b"".join(part.tobytes() for part in (*planes, np.packbits(unary, bitorder="little")))

    def unpack(self, body: Body) -> Positions:
        """int64 [count]. CodecError("malformed") for bytes that `pack` does not write."""
        code = np.frombuffer(body, np.uint8)
        cut = self._low_bits * self._plane
        positions = self._gaps(code[cut:])
        positions <<= self._low_bits
        planes = code[:cut].reshape(self._low_bits, self._plane)
        for bit, plane in enumerate(planes):
            bits = np.unpackbits(plane, bitorder="little")
            if bits[self._count :].any():
                raise CodecError("malformed", "bits after the last position")
            positions |= bits[: self._count].astype(np.int64) << bit
        if positions[-1] >= self._universe or (np.diff(positions) <= 0).any():
            raise CodecError("malformed", "positions that do not rise")
        return positions

    def _gaps(self, code: Bytes) -> Positions:
        ones = np.flatnonzero(np.unpackbits(code, bitorder="little"))
        if ones.size != self._count or ones[-1] >= self._unary:
            raise CodecError("malformed", f"{ones.size} positions, not {self._count}")
        return ones - np.arange(self._count)
