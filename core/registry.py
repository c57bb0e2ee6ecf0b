"""Named implementations of one kind: the built-in ones, and those that installed packages add."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from askpix.core.errors import AskpixError

T = TypeVar("T")


class Registry(Generic[T]):
    """Implementations by name, each imported when it is first asked for.

    ``builtin`` maps names to ``"package.module:attribute"``. Packages add theirs under the entry-point group
    ``group`` (https://packaging.python.org/specifications/entry-points); a built-in name wins, so that no
    package changes what an existing collection means.
    """

    def __init__(self, group: str, builtin: Mapping[str, str]) -> None:
        self.group = group
        self._builtin = dict(builtin)

    def names(self) -> tuple[str, ...]:
        """Return all names: built-in first, then those of packages, sorted."""
        return (*self._builtin, *sorted(self._plugins.keys() - self._builtin.keys()))

    def get(self, name: str) -> T | None:
        """Return the implementation called ``name``, or None; ``AskpixError`` if it fails to import."""
        if target := self._builtin.get(name):
            module, _, attribute = target.partition(":")
            return cast(T, getattr(import_module(module), attribute))
        plugin = self._plugins.get(name)
        return None if plugin is None else self._load(plugin)

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield every name with its implementation, in the order of ``names``."""
        for name in self.names():
            found = self.get(name)
            assert found is not None
            yield name, found

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        return {each.name: each for each in entry_points(group=self.group)}

    def _load(self, plugin: EntryPoint) -> T:
        try:
            loaded: Any = plugin.load()
        except Exception as error:  # a foreign package may raise anything when it is imported
            of = f" of {plugin.dist.name!r}" if plugin.dist else ""
            raise AskpixError(
                f"the plug-in {plugin.name!r}{of} ({self.group}) cannot be loaded: {error}; "
                "update or uninstall that package"
            ) from error
        return cast(T, loaded)
