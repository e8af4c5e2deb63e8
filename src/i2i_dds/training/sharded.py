"""Training with the student's weights, gradients and optimizer states shared out (FSDP2).

Zhao et al., "PyTorch FSDP", VLDB 2023. Each process keeps one part of every tensor, and asks the
others for the rest of a block when the block is used. The teacher is no part of it: every process
has the whole of it, frozen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.strategies import ModelParallelStrategy
from torch.distributed.fsdp import FSDPModule, fully_shard

from i2i_dds.errors import UserError
from i2i_dds.student.unet import EditUNet
from i2i_dds.training.module import EditTraining


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's strategy for FSDP2, over all processes; checkpoints are those of one process.

    It clips by the norm of all gradients and runs on CPUs too, which ``FSDPStrategy`` does not.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(save_distributed_checkpoint=False, tensor_parallel_size=1, **settings)

    def setup_environment(self) -> None:
        """Shares out over all machines, which are known now."""
        self._data_parallel_size = self.num_processes * self.num_nodes
        super().setup_environment()


class ShardedTraining(EditTraining):
    """`EditTraining` of a student that is shared out."""

    def configure_model(self) -> None:
        """Shares out each block of the UNet, and then what is left."""
        if isinstance(self.student, FSDPModule):
            return
        assert self.device_mesh is not None
        mesh = self.device_mesh["data_parallel"]
        for block in self.student.blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(self.student, mesh=mesh)

    def on_validation_start(self) -> None:
        """Has all weights everywhere, for processes have different numbers of batches."""
        super().on_validation_start()
        for part in self._parts():
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()

    def on_validation_end(self) -> None:
        """Shares the weights out again."""
        for part in self._parts():
            part.reshard()
            part.set_reshard_after_forward(part is not self.student, recurse=False)

    def _parts(self) -> Iterator[FSDPModule]:
        return (part for part in self.student.modules() if isinstance(part, FSDPModule))


def training_class(trainer: Trainer) -> type[EditTraining]:
    """What trains by this trainer.

    Raises:
        UserError: Weights are averaged, for which each process would need all of them.
    """
    if not isinstance(trainer.strategy, ShardedStrategy):
        return EditTraining
    if any(isinstance(one, WeightAveraging) for one in trainer.callbacks):  # type: ignore[attr-defined]
        raise UserError(
            "callbacks: weights that are shared out cannot be averaged; "
            "leave this out by null, or train without sharding"
        )
    return ShardedTraining


def is_sharded(student: EditUNet) -> bool:
    """Whether each process has a part of its weights."""
    return isinstance(student, FSDPModule)
