"""Modules that have moved keep their old names for a while: importing one works, with a deprecation note."""

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
import warnings


class Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules under their former names.

    homes: former name to the modules that hold its contents now, searched in this order. Nothing is imported
    before it is asked for.
    """

    def __init__(self, homes: dict[str, tuple[str, ...]]):
        self.homes = homes

    def find_spec(self, fullname, path=None, target=None):
        return importlib.machinery.ModuleSpec(fullname, self) if fullname in self.homes else None

    def create_module(self, spec):
        former, homes = spec.name, self.homes[spec.name]
        warnings.warn(
            f"{former} is now {' and '.join(homes)}; the old name will go", DeprecationWarning, stacklevel=2
        )
        module = types.ModuleType(former, f"Moved to {', '.join(homes)}.")

        def find(name: str):
            for home in homes:
                if hasattr(found := importlib.import_module(home), name):
                    return getattr(found, name)
            raise AttributeError(f"module {former!r} has no attribute {name!r}")

        vars(module)["__getattr__"] = find  # a module's own hook (PEP 562)
        return module

    def exec_module(self, module):
        pass

    @classmethod
    def install(cls, homes: dict[str, tuple[str, ...]]) -> None:
        """Look here first: below a package that moved, Python's own finder would load its modules a second time."""
        sys.meta_path.insert(0, cls(homes))
