"""An integer that refuses to grow to 2^53: proves on real runs what the score's bounds promise."""

LIMIT = 2**53


def _operation(name):
    plain = getattr(int, name)

    def operation(self, *others):
        result = plain(self, *others)
        if result is NotImplemented:
            return result
        assert -LIMIT < result < LIMIT, f"{name} reached {result}"
        return Bounded(result)

    return operation


class Bounded(int):
    """An int whose sums, products, shifts and quotients are Bounded and stay below 2^53."""


for _name in ("add", "sub", "mul", "floordiv", "mod", "lshift", "rshift", "and"):
    setattr(Bounded, f"__{_name}__", _operation(f"__{_name}__"))
    setattr(Bounded, f"__r{_name}__", _operation(f"__r{_name}__"))
Bounded.__neg__ = _operation("__neg__")
Bounded.__abs__ = _operation("__abs__")
