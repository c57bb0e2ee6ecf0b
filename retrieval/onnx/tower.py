"""A graph of a published export: its inputs, its batches, and which output is the embedding.

Exports differ in names, types, fixed sizes and in how much they give: hidden states, pooled ones, projected
ones, logits. Names say most; the rest is tried once when the model is loaded, on two made-up inputs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from askpix.core.errors import ModelUnavailableError
from askpix.core.types import Vectors
from askpix.retrieval.onnx.session import NUMBERS, RUN_ERRORS, Session

Role = Literal["image", "text"]
Feed = Mapping[str, NDArray[Any]]

_PLAIN = (
    "pooler_output",
    "pooled_output",
    "sentence_embedding",
    "embeddings",
    "embedding",
    "embeds",
    "features",
)
_OTHER: dict[Role, Role] = {"image": "text", "text": "image"}
_NEVER = ("logit", "loss", "mask", "attention")
_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")
_MIN_DIM = 8
_MOVED = 1e-6
_ALIKE = 0.1
"""Int8 graphs scale by the batch they are given, so that rows differ a little with their company."""
_FROZEN = (1, 2, 4, 8, 16, 32, 64)


class Tower:
    """A graph that is given images or texts. Thread-safe."""

    def __init__(self, path: Path, role: Role, session: Session) -> None:
        opened: Any = session
        self._session = opened
        self._role = role
        self._path = path
        self.inputs = {item.name: item for item in opened.get_inputs()}
        self.outputs = [item.name for item in opened.get_outputs()]
        self.output = ""
        first = next(iter(self.inputs.values()))
        self.takes_bytes = first.type == "tensor(uint8)"
        if self.takes_bytes and list(first.shape[3:]) != [3]:
            raise ModelUnavailableError(
                f"{path.name!r} takes bytes of shape {first.shape!r}; of such graphs those run that take "
                "(batch, height, width, 3)"
            )
        self._rows: int | None = None

    @property
    def fixed_rows(self) -> int | None:
        """Rows that the graph takes at once; None = as many as it is given."""
        return self._rows

    def length(self, name: str) -> int | None:
        """The fixed second size of an input; None when it is free or the input is not there."""
        shape = self.inputs[name].shape if name in self.inputs else []
        return shape[1] if len(shape) > 1 and isinstance(shape[1], int) else None

    def try_outputs(self, feed: Feed) -> dict[str, int]:
        """Outputs that could be the embedding with their dimensions, likeliest first; learns the batch size.

        ``feed`` has two different rows. Raises ``ModelUnavailableError`` when there is none.
        """
        own = self._own(feed)
        fixed = {self.inputs[name].shape[0] for name in own if self.inputs[name].shape}
        self._rows = next((size for size in fixed if isinstance(size, int)), None)
        found = self._first_run(own)
        flat = {name: rows for name, rows in found.items() if self._is_flat(name, rows)}
        ranked = sorted(flat, key=self._rank)
        if len(self.inputs) > len(own) and len(ranked) > 1:
            # Both towers in one graph: this one's outputs are those that change with what it is given.
            moved = self._moved_by(own, ranked)
            ranked = moved or ranked
        if not ranked:
            there = ", ".join(f"{name} {list(rows.shape)}" for name, rows in found.items())
            raise ModelUnavailableError(
                f"{self._path.name!r} gives no embedding of a whole {self._role}, only {there[:160]}; "
                "export it with its pooled and projected output"
            )
        return {name: flat[name].shape[-1] for name in ranked}

    def run(self, feed: Feed) -> Vectors:
        """``(n, dim)`` of the output taken, from named arrays of ``n`` rows each."""
        try:
            rows = self._run(self._own(feed), [self.output])[self.output]
        except RUN_ERRORS as error:
            reason = " ".join(str(error).split())[:160]
            raise ModelUnavailableError(f"{self._path.name!r} cannot be run: {reason}") from error
        found = np.asarray(rows, np.float32)
        if not np.isfinite(found).all():
            raise ModelUnavailableError(
                "the model's embeddings are not numbers; take another precision of it"
            )
        return found.reshape(len(found), -1)

    def outputs_of(self, feed: Feed, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Outputs by name, of one run with just these inputs."""
        typed = {name: rows.astype(self._type(name)) for name, rows in feed.items()}
        given = self._filled(typed, len(next(iter(feed.values()))))
        return dict(zip(names, self._session.run(list(names), given), strict=True))

    def _first_run(self, own: Feed) -> dict[str, NDArray[Any]]:
        """Run two rows and return all outputs. A graph that claims to take any number may have kept, in
        its trace, the number it was exported with: then the first of the usual ones that works is taken.
        """
        if self._rows:
            return self._run(own, self.outputs)
        found: dict[str, NDArray[Any]] = {}
        problem: Exception | None = None
        for size in (None, *_FROZEN):
            self._rows = size
            try:
                tried = self._run(own, self.outputs)
                flat = {name: rows for name, rows in tried.items() if self._is_flat(name, rows)}
                found = found or tried
                if flat and (size is not None or self._takes_three(own, flat)):
                    return tried
            except RUN_ERRORS as error:
                problem = problem or error
        self._rows = None
        if problem is not None and not found:
            raise problem
        return found  # of which nothing is flat

    def _takes_three(self, own: Feed, two: Feed) -> bool:
        """Return whether three rows give what two of them gave."""
        three = {name: np.concatenate([rows, rows[:1]]) for name, rows in own.items()}
        try:
            found = self._run(three, list(two))
        except RUN_ERRORS:
            return False
        return any(
            found[name].shape == (3, *rows.shape[1:])
            and float(np.abs(np.asarray(found[name][:2], np.float32) - rows).max()) < _ALIKE
            for name, rows in two.items()
        )

    def _run(self, own: Feed, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Outputs by name for all rows of ``own``, in batches of the size that the graph is fixed to."""
        count = len(next(iter(own.values())))
        size = self._rows or count
        parts = []
        for start in range(0, count, size):
            part = {name: rows[start : start + size] for name, rows in own.items()}
            short = size - len(next(iter(part.values())))
            if short:  # the last batch is filled up with its last row
                part = {
                    name: np.concatenate([rows, rows[-1:].repeat(short, 0)]) for name, rows in part.items()
                }
            parts.append(self._session.run(list(names), self._filled(part, size)))
        if len(parts) == 1 and size == count:
            return dict(zip(names, parts[0], strict=True))
        return {
            name: np.concatenate([part[at] for part in parts])[:count] if parts[0][at].ndim else parts[0][at]
            for at, name in enumerate(names)
        }

    def _own(self, feed: Feed) -> dict[str, NDArray[Any]]:
        """Return the inputs that the graph takes of ``feed``, in its types: by name, or by being the only
        one.
        """
        if len(feed) == 1 and len(self.inputs) == 1:
            feed = {next(iter(self.inputs)): next(iter(feed.values()))}
        own = {name: rows.astype(self._type(name)) for name, rows in feed.items() if name in self.inputs}
        if not own:
            raise ModelUnavailableError(f"cannot embed with a graph that takes {', '.join(self.inputs)}")
        return own

    def _type(self, name: str) -> Any:
        return NUMBERS.get(self.inputs[name].type, np.int64)

    def _filled(self, own: Feed, count: int) -> dict[str, Any]:
        """Fill a graph's other inputs with one blank each, which costs nothing to the result."""
        batches = {self.inputs[name].shape[0] for name in own if self.inputs[name].shape}
        given = dict(own)
        for name, item in self.inputs.items():
            if name in own:
                continue
            first, *rest = item.shape or [1]
            if not isinstance(first, int):
                first = count if first in batches else 1  # a name shared with ours is the same size
            sizes = [size if isinstance(size, int) else None for size in rest]
            blank = [size or (224 if len(sizes) == 3 else 2) for size in sizes]
            fill = np.zeros if item.type in _FLOATS else np.ones
            given[name] = fill((first, *blank), self._type(name))
        return given

    def _moved_by(self, own: Feed, names: Sequence[str]) -> list[str]:
        """Outputs whose two rows differ when only this tower's inputs do."""
        one, other = ({name: rows[at : at + 1] for name, rows in own.items()} for at in (0, 1))
        before = self._run(one, names)
        after = self._run(other, names)
        return [
            name
            for name in names
            if before[name].shape == after[name].shape
            and float(np.abs(np.asarray(before[name], np.float32) - after[name]).max()) > _MOVED
        ]

    def _is_flat(self, name: str, rows: NDArray[Any]) -> bool:
        if any(word in name.lower() for word in _NEVER):
            return False
        shape = (rows.shape[0], *(size for size in rows.shape[1:] if size > 1)) if rows.ndim else ()
        return len(shape) == 2 and shape[0] == 2 and shape[1] >= _MIN_DIM and rows.dtype.kind == "f"

    def _rank(self, name: str) -> tuple[int, int]:
        """Small for what is likely: projected ones of this tower, pooled ones, others, the other tower's."""
        low = name.lower()
        mine = self._role in low or ("visual" in low and self._role == "image")
        theirs = _OTHER[self._role] in low
        place = next((at for at, word in enumerate(_PLAIN) if word in low), len(_PLAIN))
        if theirs and not mine:
            return 3, place
        if mine and "pool" not in low and "hidden" not in low:
            return 0, place
        return (1 if place < len(_PLAIN) else 2), place


def choose_outputs(vision: Tower, text: Tower, pictures: Feed, texts: Feed) -> int:
    """Sets both towers' outputs to the likeliest pair of one dimension, and returns that.

    Raises ``ModelUnavailableError`` when images and texts have no such pair.
    """
    shown = vision.try_outputs(pictures)
    said = text.try_outputs(texts)
    pairs = [
        (i + j, abs(i - j), name, other)
        for i, (name, dim) in enumerate(shown.items())
        for j, (other, also) in enumerate(said.items())
        if dim == also
    ]
    if not pairs:
        raise ModelUnavailableError(
            f"the export gives images and texts different numbers of features ({_listed(shown)}; "
            f"{_listed(said)}): it lacks its projections"
        )
    _, _, vision.output, text.output = min(pairs)
    return shown[vision.output]


def _listed(outputs: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {dim}" for name, dim in outputs.items())
