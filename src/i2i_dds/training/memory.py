"""What a training step holds in memory, counted on networks that have shapes and no weights."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from i2i_dds.student.unet import EditUNet


@dataclass(frozen=True)
class StepMemory:
    """Bytes of one training step.

    Attributes:
        teacher: Its weights.
        student: The weights that are trained.
        gradients: Of the student's weights.
        optimizer: Its states.
        average: The moving average of the weights, buckets of DDP's, and what FSDP2 has whole.
        encoding: Most that pictures on their way to latents add.
        step: Most that the step adds: activations, and what the teacher computes meanwhile.
    """

    teacher: int
    student: int
    gradients: int
    optimizer: int
    average: int
    encoding: int
    step: int

    @property
    def total(self) -> int:
        """The peak."""
        lasting = self.teacher + self.student + self.gradients + self.optimizer + self.average
        return lasting + max(self.encoding, self.step)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, each storage once.

    Attributes:
        now: Of those that operations within it have made and that are not freed.
        peak: The most so far; may be set back to ``now``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._add(leaf.untyped_storage())
        return out

    def ignore(self, *tensors: Tensor) -> None:
        """Leaves out tensors that were there before."""
        self._seen |= {tensor.untyped_storage()._cdata for tensor in tensors}

    def _add(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def step_memory(
    student: EditUNet,
    teacher: Any,
    optimizer: Callable[[Any], Optimizer],
    batch_size: int,
    size: int,
    half_activations: bool = False,
    copies: int = 1,
    rows: int = 4,
    shares: int = 1,
) -> StepMemory:
    """Counts one training step as ``EditTraining`` makes it.

    Activations are counted as autograd keeps them, on the true shapes. What is not counted is
    what a device adds: its context, the kernels' workspaces and the allocator's gaps.

    Args:
        student: On the meta device.
        teacher: On the meta device; its type counts.
        optimizer: Called with the student's parameters.
        batch_size: Pictures on each process.
        size: Their side in pixels.
        half_activations: As with mixed precision, whose copy of the weights is counted too. Norms
            are taken to be half, too.
        copies: Of the weights beside those trained, such as their moving average.
        rows: What the teacher is asked for each picture: source and target, with guidance each
            twice.
        shares: Processes among which weights, gradients and states are shared out by FSDP2. Counted
            is what the first holds, which has the most.
    """
    weights = list(student.parameters())
    whole, count = _bytes(weights), sum(_share(weight, shares) for weight in weights)
    average = copies * whole + (whole // 2 if half_activations and shares == 1 else 0)
    states = _optimizer_bytes(weights, optimizer) * count // whole
    if shares > 1:
        average += _gathered(student) // (2 if half_activations else 1)
    if half_activations:
        nn.Module.to(student, torch.bfloat16)  # in place
    with fused_attention():
        encoding, step = _transient(student.train(), teacher, batch_size, size, rows)
    modules = (teacher.vae, teacher.network, *teacher.text_encoders)
    frozen = sum(_bytes([*one.parameters(), *one.buffers()]) for one in modules)
    return StepMemory(frozen, count, count, states, average, encoding, step)


def _share(weight: Tensor, shares: int) -> int:
    """Bytes of the first process' part: rows of the weight, as evenly as whole rows go."""
    rows = len(weight)
    return -(-rows // shares) * (_bytes([weight]) // rows)


def _gathered(student: EditUNet) -> int:
    """The most that a process has whole at a time: what is no block's, a block and the next.

    In the backward pass the gradients of the one being left are whole, too.
    """
    blocks = [_bytes(block.parameters()) for block in student.blocks]
    rest = _bytes(student.parameters()) - sum(blocks)
    return rest + max(a + b for a, b in pairwise(blocks)) + max(blocks)


def _optimizer_bytes(weights: list[nn.Parameter], make: Callable[[Any], Optimizer]) -> int:
    optimizer = make(weights)
    for group in optimizer.param_groups:
        group["fused"] = False  # its kernels want a device with memory; the states are the same
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for weight in weights:
        weight.grad = None
    states = (value for state in optimizer.state.values() for value in state.values())
    return _bytes([value for value in states if isinstance(value, Tensor)])


def _transient(
    student: EditUNet, teacher: Any, batch_size: int, size: int, rows: int
) -> tuple[int, int]:
    """The most that encoding and the step add; gradients are those of the step before."""
    live, weights = LiveBytes(), list(student.parameters())
    live.ignore(*weights, *student.buffers())
    with live, torch.device("meta"):
        x = torch.empty(batch_size, 3, size, size)
        z_src = teacher.encode(x)
        encoding, live.peak = live.peak, live.now
        text = teacher.embed(["a"] * batch_size * rows)
        condition = student.condition(teacher, [0] * batch_size)
        start, live.peak = live.now, live.now
        z = student(z_src, condition).float()
        many = z.detach().repeat(rows, 1, 1, 1)
        steps = torch.full((len(many),), 500)
        grad = teacher.predict_noise(many, steps, text)[:batch_size]
        held = live.peak - start
        (z * grad).sum().backward()
        # Backward, activations give way to gradients, which are counted as they last.
        grown = live.peak - start - sum(_bytes([w.grad]) for w in weights if w.grad is not None)
    return encoding, max(held, grown)


def _bytes(tensors: Any) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


@contextmanager
def fused_attention() -> Iterator[None]:
    """Within it, attention keeps what the fused kernels do, and not its maps.

    The meta device has no such kernel, and would count all maps.
    """
    before = F.scaled_dot_product_attention

    def attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return _Fused.apply(query, key, value)  # type: ignore[return-value]

    F.scaled_dot_product_attention = attention  # type: ignore[assignment]
    try:
        yield
    finally:
        F.scaled_dot_product_attention = before


class _Fused(torch.autograd.Function):
    """Shapes of fused attention: it keeps its inputs, its output and a sum for each query."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        query, key, value, _, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
