"""How Lightning's checkpoints come to the disk: whole, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from i2i_dds.runs import replacing


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, in its own folder, and says what is in the way.

    Lightning's own goes by way of the folder for temporary files, and passes over a refused
    permission without a word.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Called on the first process alone.

        Raises:
            UserError: The disk is full, or the folder may not be written.
        """
        with replacing(path) as partial, open(partial, "wb") as file:
            torch.save(checkpoint, file)
