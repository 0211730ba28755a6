"""A small value of any Struct, out of its type alone: seeds for what nobody has made a seed for."""

from typing import Any

from msgspec import inspect


def sample(kind: type) -> Any:
    """A value of the type: least numbers, shortest bytes, two items in arrays, nothing left out."""
    return _made(inspect.type_info(kind))


def _made(info: inspect.Type) -> Any:
    match info:
        case inspect.Metadata():
            return _made(info.type)
        case inspect.IntType():
            return info.ge or 0
        case inspect.BytesType():
            return bytes(info.min_length or 0)
        case inspect.StrType():
            return "a" * (info.min_length or 0)
        case inspect.BoolType():
            return False
        case inspect.LiteralType():
            return info.values[0]
        case inspect.VarTupleType():
            return (_made(info.item_type), _made(info.item_type))
        case inspect.TupleType():
            return tuple(_made(each) for each in info.item_types)
        case inspect.UnionType():
            return _made(next(t for t in info.types if not isinstance(t, inspect.NoneType)))
        case inspect.StructType():
            return info.cls(*(_made(field.type) for field in info.fields))
    raise TypeError(f"no sample of {info}")
