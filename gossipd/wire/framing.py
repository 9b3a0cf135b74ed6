"""One message <-> bytes: msgpack with its size limits set, then typed validation by msgspec."""

from typing import Any, TypeVar

import msgpack
import msgspec

from gossipd.wire import limits
from gossipd.wire.errors import WireError
from gossipd.wire.messages import AnyMessage, Request, Response

D = TypeVar("D")

_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


def pack(obj: Any) -> bytes:
    """Deterministic msgpack of plain values and msgspec structs: maps are sorted by key."""
    try:
        return _ENCODER.encode(obj)
    except TypeError:  # it sorts no maps by bytes, that is by author
        builtins = msgspec.to_builtins(obj, builtin_types=(bytes,), order="deterministic")
    packed = msgpack.packb(builtins, use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def unpack(data: bytes, kind: type[D], *, longest: int = limits.MESSAGE_BYTES) -> D:
    """`data` as a valid `kind`; WireError("too-large" | "malformed") otherwise."""
    value: D = _convert(_unpack(data, longest), kind)
    return value


def encode_message(message: AnyMessage) -> bytes:
    data = pack(message)
    if len(data) > limits.MESSAGE_BYTES:
        raise ValueError(f"{type(message).__name__} of {len(data)} bytes exceeds the limit")
    return data


def decode_request(data: bytes) -> Request:
    """A request of a peer; WireError when it is none."""
    request: Request = _convert(_unpack(data, limits.MESSAGE_BYTES), Request)
    return request


def decode_response(data: bytes) -> Response:
    """The answer of a peer; WireError when it is none."""
    response: Response = _convert(_unpack(data, limits.MESSAGE_BYTES), Response)
    return response


def _unpack(data: bytes, longest: int) -> Any:
    if len(data) > longest:
        raise WireError("too-large", f"{len(data)} bytes, at most {longest}")
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_str_len=limits.TEXT_BYTES,
            max_bin_len=limits.ENVELOPE_BYTES,
            max_array_len=limits.NESTING_ITEMS,
            max_map_len=limits.NESTING_ENTRIES,
            max_ext_len=0,
            ext_hook=_refuse_extension,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError("malformed", f"not msgpack: {error}") from None


def _refuse_extension(code: int, data: bytes) -> Any:
    """Called for what `max_ext_len` lets through: extensions without a byte of content."""
    raise ValueError(f"extension type {code}")


def _convert(obj: Any, kind: Any) -> Any:
    try:
        # Without `builtin_types` text would pass for bytes, as base64.
        return msgspec.convert(obj, kind, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise WireError("malformed", str(error)) from None
