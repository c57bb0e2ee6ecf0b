"""Ignore rules of the owner: ``.askpixignore`` files and globs of the command line, as in git.

A file's rules count below its folder, and those nearer to an image before those further up, so ``!keep.jpg``
brings back what an outer file leaves out; as in git, nothing is brought back from a folder that is left out.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pathspec
from pathspec.patterns.gitignore import GitIgnorePatternError

from askpix.core.errors import AskpixError

IGNORE_FILE = ".askpixignore"
_MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Ignores:
    """The rules in force in a folder. ``outer`` are those of the folder above it."""

    folder: str = ""
    spec: pathspec.GitIgnoreSpec | None = None
    outer: "Ignores | None" = None
    given: "Ignores | None" = None
    """Rules of the command line, which come before all files."""

    @classmethod
    def of(cls, globs: Sequence[str], root: str) -> "Ignores":
        """The globs of the command line, relative to ``root``, and the files above it.

        Raises ``AskpixError`` for globs that are none.
        """
        rules = cls(given=cls(root, _spec(globs, "--ignore")) if globs else None)
        for folder in reversed(Path(root).parents) if root else ():
            rules = rules.inside(str(folder))
        return rules

    def inside(self, folder: str) -> "Ignores":
        """Return these rules with a folder's own. Raises ``AskpixError`` for an unusable file."""
        path = Path(folder) / IGNORE_FILE
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return self
        except OSError as error:
            # Indexing what was to be left out cannot be undone for the owner.
            raise AskpixError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
        if len(data) > _MAX_BYTES:
            raise AskpixError(f"{str(path)!r} is over {_MAX_BYTES >> 20} MB: no list of ignore rules")
        spec = _spec(data.decode("utf-8-sig", "replace").splitlines(), str(path))
        return Ignores(folder, spec, self, self.given)

    def leaves_out(self, path: str, *, is_folder: bool) -> bool:
        """Return whether a rule excludes a path in or below the folder; its parent folders were checked
        before.
        """
        if self.given is not None and self.given.leaves_out(path, is_folder=is_folder):
            return True
        level: Ignores | None = self
        while level is not None:
            if level.spec is not None:
                inner = path[len(level.folder.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
                found = level.spec.check_file(inner + "/" if is_folder else inner).include
                if found is not None:
                    return found
            level = level.outer
        return False


def leaves_out(path: str, root: str, globs: Sequence[str]) -> bool:
    """Return whether the rules exclude ``path``, which lies below ``root``, or a folder that it lies in."""
    rules = Ignores.of(globs, root)
    at = root
    parts = Path(path).relative_to(root).parts
    for number, part in enumerate(parts, start=1):
        rules = rules.inside(at)
        at = at.rstrip(os.sep) + os.sep + part
        if rules.leaves_out(at, is_folder=number < len(parts) or Path(at).is_dir()):
            return True
    return False


def _spec(lines: Sequence[str], where: str) -> pathspec.GitIgnoreSpec:
    try:
        return pathspec.GitIgnoreSpec.from_lines(lines)
    except (GitIgnorePatternError, ValueError) as error:
        raise AskpixError(f"{where}: {' '.join(str(error).split())[:200]}") from error
