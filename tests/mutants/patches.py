"""Deliberate errors in process: each is a function of `monkeypatch` that makes one name wrong."""


def patch(owner, name, function):
    """`owner.name` replaced by `function`."""
    return lambda monkeypatch: monkeypatch.setattr(owner, name, function)


def scaled(cls, factor, method="policy_direction"):
    """A method whose result is multiplied by `factor`."""
    original = getattr(cls, method)
    return patch(cls, method, lambda self, *arguments: factor * original(self, *arguments))


def wrapped(owner, name, change):
    """A function whose result is changed by `change`."""
    original = getattr(owner, name)
    return patch(owner, name, lambda *arguments, **keywords: change(original(*arguments, **keywords)))
