"""Signs of life from inside one long piece of work, such as sampling, to whoever shows progress; nobody else hears
them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def beat(what: str, done: int, total: int) -> None:
    """Say that `done` of `total` pieces of the work in hand are done; what: "token", in the singular."""
    listener = _listener.get()
    if listener is not None:
        listener(what, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Inside, `listener` hears every beat."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
