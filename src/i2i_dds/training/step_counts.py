"""What a training counts at each step, on the device, and reads seldom."""

from __future__ import annotations

import torch
from torch import Tensor

from i2i_dds.errors import UserError

_NEVER = -1


class StepCounts:
    """Entries of gradients that were not finite, and the first step whose output was not.

    Both stay where the tensors are, so that no step waits for the device.

    Args:
        nonfinite: What an earlier part of the training counted.
    """

    def __init__(self, nonfinite: int = 0) -> None:
        self.nonfinite: Tensor = torch.tensor(nonfinite)
        self._broken: Tensor = torch.tensor(_NEVER)

    def see_output(self, z: Tensor, step: int) -> None:
        """Looks at the student's output at a step, of any shape."""
        before = self._broken.to(z.device)
        broken = (before == _NEVER) & ~torch.isfinite(z).all()
        self._broken = torch.where(broken, step, before)

    def see_gradient(self, nonfinite: Tensor) -> None:
        """Adds a step's count, a number ()."""
        self.nonfinite = self.nonfinite.to(nonfinite.device) + nonfinite

    def refuse_broken(self) -> None:
        """Asks the device.

        Raises:
            UserError: An output was not finite.
        """
        step = int(self._broken)
        if step != _NEVER:
            raise UserError(
                f"optimizer.lr: the student's output is not finite at step {step}; "
                "give a smaller learning rate"
            )
