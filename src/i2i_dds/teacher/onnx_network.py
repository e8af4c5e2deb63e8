"""A frozen network run by ONNX Runtime on the CPU, for predictions without gradients."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.utils._pytree import TreeSpec, keystr, tree_flatten_with_path, tree_unflatten

from i2i_dds.errors import UserError
from i2i_dds.onnx_files import Run, missing_packages, open_onnx, quiet_export, write_onnx
from i2i_dds.progress import notify
from i2i_dds.runs import run_folder

_ROWS = 2
"""Of the batch that is traced; one alone would be taken for a constant."""
_MOST_ROWS = 32
"""Of one run; more fall out of the processor's caches and take longer each."""
_PLACES = ("img_ids", "txt_ids")
"""Inputs that say where tokens are, the same for all rows."""
_OUTPUT = "sample"
_FILE = "network.onnx"
_DIFFERS = 1e-3
"""By how much of its largest entry an answer may differ from the network's, as rounding does."""
_FOLDER = "I2I_DDS_CACHE"


class Answer(NamedTuple):
    """As diffusers' networks answer."""

    sample: Tensor


class OnnxNetwork:
    """Calls a frozen network by ONNX Runtime, any number of rows by the same file.

    A call of other sizes is traced and written first, which takes half a minute for a small
    network. The file is found again by later processes. Its first answer is held against the
    network's own. What it says differs from the network by rounding, and the weights are in memory
    twice.

    Args:
        network: Frozen, in float32 on the CPU.
        folder: Where files are kept, one folder for each size. Those in it are of this network.

    Raises:
        UserError: The extra ``export`` is missing, or the network is on another device or of
            another type.
    """

    def __init__(self, network: nn.Module, folder: Path) -> None:
        missing = missing_packages()
        if missing:
            raise UserError(
                f"compile: onnx needs {', '.join(missing)}; pip install 'i2i-dds[export]', or "
                "leave it out"
            )
        one = next(network.parameters())
        if one.device.type != "cpu" or one.dtype is not torch.float32:
            raise UserError(
                f"compile: onnx runs float32 networks on the CPU, not {one.dtype} on {one.device}; "
                "give teacher.device=cpu teacher.dtype=float32, or leave it out"
            )
        self.network, self.folder = network, folder
        self._files: dict[str, Run] = {}

    def __call__(self, *args: Any, **named: Any) -> Answer:
        """What the network says.

        Raises:
            UserError: It cannot be written as ONNX, or the file says something else.
        """
        call = _Call.of(args, named)
        sizes = call.sizes()
        if sizes not in self._files:
            self._files[sizes] = self._opened(self.folder / sizes, call)
        run = self._files[sizes]
        return Answer(torch.cat([run(some.tensors) for some in call.lots(_MOST_ROWS)]))

    def _opened(self, folder: Path, call: _Call) -> Run:
        if not (folder / _FILE).is_file():
            notify(f"compile: writing the network to {folder}, which takes half a minute or more")
            self._write(folder, call)
        put_right = "remove that folder, or leave onnx out"
        try:
            run = open_onnx(folder / _FILE)
            said = run(call.tensors)
        except Exception as error:  # ONNX Runtime has classes of its own for each mistake
            raise UserError(f"compile: {folder}: {error!s:.200}; {put_right}") from error
        wanted = call.put_to(self.network)
        off, most = (said - wanted).abs().max(), wanted.abs().max()
        if most.isfinite() and not off <= _DIFFERS * most:
            raise UserError(
                f"compile: {folder} answers otherwise than the network, by {off:.2g} where its "
                f"largest entry is {most:.2g}; {put_right}"
            )
        return run

    def _write(self, folder: Path, call: _Call) -> None:
        example = call.example()
        try:
            with quiet_export(), torch.no_grad():
                program = torch.export.export(
                    _Flat(self.network, example),
                    tuple(example.tensors.values()),
                    dynamic_shapes=(
                        tuple(
                            {0: Dim.AUTO} if name in call.batched else None for name in call.tensors
                        ),
                    ),
                )
                with run_folder(folder) as partial:
                    write_onnx(
                        program,
                        partial / _FILE,
                        list(call.tensors),
                        _OUTPUT,
                        beside=True,
                        folded=False,
                    )
        except UserError:
            if not (folder / _FILE).is_file():  # else another process was sooner
                raise
        except Exception as error:
            raise UserError(
                f"compile: a {type(self.network).__name__} cannot be written as ONNX "
                f"({error!s:.200}); leave it out"
            ) from error


class _Call(NamedTuple):
    """What a network is called with: tensors by name, and all else.

    Attributes:
        tensors: By the names that their files give them.
        batched: Which of them have a row for each of the batch.
        others: What is no tensor, by its place among all.
        spec: Where each belongs.
    """

    tensors: Mapping[str, Tensor]
    batched: frozenset[str]
    others: Mapping[int, Any]
    spec: TreeSpec

    @classmethod
    def of(cls, args: Any, named: Any) -> _Call:
        leaves, spec = tree_flatten_with_path((args, named))
        tensors, batched, others = {}, set(), {}
        for number, (path, leaf) in enumerate(leaves):
            if not isinstance(leaf, Tensor):
                others[number] = leaf
                continue
            name = f"input_{number}"
            tensors[name] = leaf.contiguous()
            if leaf.ndim and not any(place in keystr(path) for place in _PLACES):
                batched.add(name)
        return cls(tensors, frozenset(batched), others, spec)

    def put_to(self, network: Any) -> Tensor:
        """What the network says."""
        args, named = tree_unflatten(self._leaves(list(self.tensors.values())), self.spec)
        return network(*args, **named).sample

    def with_tensors(self, tensors: Any) -> _Call:
        return self._replace(tensors=dict(zip(self.tensors, tensors, strict=True)))

    def lots(self, most: int) -> list[_Call]:
        """The same in calls of at most so many rows."""
        counts = {len(self.tensors[name]) for name in self.batched}
        if len(counts) != 1 or max(counts) <= most:
            return [self]
        parts = {name: self.tensors[name].split(most) for name in self.batched}
        return [
            self.with_tensors(
                parts[name][number] if name in parts else value
                for name, value in self.tensors.items()
            )
            for number in range(len(next(iter(parts.values()))))
        ]

    def example(self) -> _Call:
        """The same of :data:`_ROWS` rows."""
        return self.with_tensors(
            value[:1].repeat(_ROWS, *[1] * (value.ndim - 1)) if name in self.batched else value
            for name, value in self.tensors.items()
        )

    def sizes(self) -> str:
        """Tells calls apart that need files of their own, as a folder's name."""
        shapes = (
            ["n", *map(str, value.shape[1:])] if name in self.batched else map(str, value.shape)
            for name, value in self.tensors.items()
        )
        others = (str(one) for one in self.others.values() if one is not None)
        return "_".join([*("x".join(shape) for shape in shapes), *others])

    def _leaves(self, tensors: list[Tensor]) -> list[Any]:
        """Tensors and all else in their places."""
        left = iter(tensors)
        count = len(tensors) + len(self.others)
        return [self.others[n] if n in self.others else next(left) for n in range(count)]


class _Flat(nn.Module):
    """A network that takes its tensors one after another."""

    def __init__(self, network: nn.Module, call: _Call) -> None:
        super().__init__()
        self.network = network
        self._call = call

    def forward(self, *tensors: Tensor) -> Tensor:
        return self._call.with_tensors(tensors).put_to(self.network)


def cache_folder() -> Path:
    """Where files for later processes are kept: ``$I2I_DDS_CACHE``, or the user's cache folder."""
    if own := os.environ.get(_FOLDER):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "i2i_dds"
