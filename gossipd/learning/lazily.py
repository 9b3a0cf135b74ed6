"""What `import torch` runs and no daemon needs, put off until somebody asks for it.

torch describes every operator a second time in Python, for tensors without data and for the
compiler: `torch._meta_registrations`, and with it torch's references, decompositions and export.
That is .5 of the 1.4 CPU seconds that `import torch` takes and some 20 of its 160 MB (torch 2.13).
Here it is run when something of it is first used, which is what the decompositions do when they
are imported, or when the compiler is: `torch.compile`, `torch.export` and fake tensors find it
whole. `torch.Generator` is what misses it without asking: code of a user's own gets torch as it is
(`whole`).

Not `importlib.util.LazyLoader`: that runs a module when anybody looks at its `__file__`, and
torch's own import looks at that of all modules.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PUT_OFF = "torch._meta_registrations"
COMPILER = "torch._dynamo"
"""Its import goes in a circle unless the other one has been run before."""


class PutOff(ModuleType):
    """A module that is run when one of its names is first asked for; those of its metadata are
    there already."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.run()
        return getattr(self, name)

    def run(self) -> None:
        loader = self.__loader__
        assert isinstance(loader, _Lazily)
        self.__class__ = ModuleType  # type: ignore[assignment]
        loader.run(self)


class _Lazily(Loader):
    """A loader that does nothing until it must."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return PutOff(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Later: `run`."""

    def run(self, module: ModuleType) -> None:
        self._loader.exec_module(module)


class _Finder(MetaPathFinder):
    """Has one module loaded lazily, and run before the compiler."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == COMPILER:
            sys.meta_path.remove(self)
            whole()
        elif name == PUT_OFF:
            spec = PathFinder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Lazily(spec.loader)
            return spec
        return None


def whole() -> None:
    """Torch as it is without this module."""
    module = sys.modules.get(PUT_OFF)
    if isinstance(module, PutOff):
        module.run()


def put_off() -> None:
    """Before the first import of torch; after it this changes nothing."""
    if "torch" not in sys.modules and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
