"""What a teacher's network is told beside the noisy latents and the timesteps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor


class Conditioning(Mapping[str, Tensor]):
    """Named tensors, each (B, ...): embeddings, and what else a family's network takes.

    Above the teacher nobody looks inside, except that ``embeddings`` (B, L, D) is always there,
    which a student that is told by text reads.

    Args:
        embeddings: Of the prompts' tokens, (B, L, D).
        **others: Such as ``pooled`` (B, D'), each with B rows.

    Raises:
        ValueError: The numbers of rows differ.
    """

    def __init__(self, embeddings: Tensor, **others: Tensor) -> None:
        self._tensors = {"embeddings": embeddings, **others}
        if len({len(tensor) for tensor in self._tensors.values()}) != 1:
            shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
            raise ValueError(f"conditioning: the numbers of rows differ: {shapes}")

    @classmethod
    def cat(cls, parts: Sequence[Conditioning]) -> Conditioning:
        """The rows of several, one after the other."""
        return cls(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})

    __eq__ = object.__eq__  # rows are compared by equal(); a mapping's == would ask for a truth
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def embeddings(self) -> Tensor:
        """Of the prompts' tokens, (B, L, D)."""
        return self._tensors["embeddings"]

    @property
    def rows(self) -> int:
        """B."""
        return len(self.embeddings)

    def map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """Every tensor changed in the same way."""
        return Conditioning(**{name: change(tensor) for name, tensor in self.items()})

    def take(self, rows: slice | Tensor) -> Conditioning:
        """Some of the rows."""
        return self.map(lambda tensor: tensor[rows])

    def expand(self, rows: int) -> Conditioning:
        """One row as many; that many rows as they are."""
        return self.map(lambda tensor: tensor.expand(rows, *tensor.shape[1:]))

    def repeat(self, times: int) -> Conditioning:
        """All rows, one time after the other."""
        return self.map(lambda tensor: tensor.repeat(times, *[1] * (tensor.ndim - 1)))

    def repeat_interleave(self, times: int) -> Conditioning:
        """Each row so many times."""
        return self.map(lambda tensor: tensor.repeat_interleave(times, 0))

    def chunk(self, parts: int) -> list[Conditioning]:
        """Equal parts of the rows.

        Raises:
            ValueError: They cannot be equal.
        """
        if self.rows % parts:
            raise ValueError(f"{self.rows} rows make no {parts} equal parts")
        size = self.rows // parts
        return [self.take(slice(i * size, (i + 1) * size)) for i in range(parts)]

    def equal(self, other: Conditioning) -> Tensor:
        """Which rows are the same in every tensor, bool (B,)."""
        same = [(self[name] == other[name]).reshape(self.rows, -1).all(1) for name in self]
        return torch.stack(same).all(0)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Conditioning:
        """On a device; tensors of fractions also in a type, whole numbers keep theirs."""
        return self.map(
            lambda tensor: tensor.to(device, dtype if tensor.is_floating_point() else None)
        )

    def clone(self) -> Conditioning:
        """A copy of every tensor."""
        return self.map(torch.Tensor.clone)
