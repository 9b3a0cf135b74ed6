"""One message <-> bytes: msgpack, bounded, typed and validated by msgspec."""

from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec.msgpack import Decoder, Encoder

from gossipd.wire import limits
from gossipd.wire.errors import WireError
from gossipd.wire.messages import AnyMessage, Request, Response

D = TypeVar("D")

_ENCODER = Encoder(order="deterministic")
_AS_IT_IS = Encoder()


def pack(obj: Any) -> bytes:
    """Deterministic msgpack of plain values and msgspec structs: maps are sorted by key."""
    try:
        return _ENCODER.encode(obj)
    except TypeError:  # it sorts no maps by bytes, that is by author
        builtins = msgspec.to_builtins(obj, builtin_types=(bytes,), order="deterministic")
    return _AS_IT_IS.encode(builtins)


def unpack(data: bytes, kind: type[D], *, longest: int = limits.MESSAGE_BYTES) -> D:
    """`data` as a valid `kind`; WireError("too-large" | "malformed") otherwise."""
    value: D = _decode(_decoder(cast(Any, kind)), data, longest)
    return value


def encode_message(message: AnyMessage) -> bytes:
    data = _AS_IT_IS.encode(message)  # no hash is made of it: its maps need no order
    if len(data) > limits.MESSAGE_BYTES:
        raise ValueError(f"{type(message).__name__} of {len(data)} bytes exceeds the limit")
    return data


def decode_request(data: bytes) -> Request:
    """A request of a peer; WireError when it is none."""
    request: Request = _decode(_REQUESTS, data, limits.MESSAGE_BYTES)
    return request


def decode_response(data: bytes) -> Response:
    """The answer of a peer; WireError when it is none."""
    response: Response = _decode(_RESPONSES, data, limits.MESSAGE_BYTES)
    return response


@cache
def _decoder(kind: Any) -> Decoder[Any]:
    return Decoder(kind)


_REQUESTS: Decoder[Any] = Decoder(Request)
_RESPONSES: Decoder[Any] = Decoder(Response)


def _decode(decoder: Decoder[Any], data: bytes, longest: int) -> Any:
    """In one pass, which skips what is not known, makes nothing of it, and compares the announced
    length of a field with its bound before it reads on."""
    if len(data) > longest:
        raise WireError("too-large", f"{len(data)} bytes, at most {longest}")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", str(error)) from None
