"""Names that a package offers without importing what they come from until somebody asks for them."""

import importlib
from collections.abc import Callable, Mapping


def lazy_exports(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of `package` (PEP 562). `modules`: name -> the module that defines it."""

    def getattr_(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it offers {', '.join(modules)}")
        return getattr(importlib.import_module(modules[name]), name)

    return getattr_
