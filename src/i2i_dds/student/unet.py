"""A task-conditioned UNet on latents that starts as the identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from diffusers import ModelMixin, UNet2DConditionModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from torch import Tensor, nn

from i2i_dds.errors import UserError
from i2i_dds.tasks import Task, TaskSet

CONDITIONINGS = ("task", "text")


class EditUNet(ModelMixin, ConfigMixin):
    """``z_out = z + net(z, condition)``, with the net's last layer zero at first.

    So before training it returns its input bit for bit, and training begins where zero-shot
    editing does. It is saved and loaded by ``save_pretrained`` and ``from_pretrained``, and its
    config holds the tasks it knows, so that a saved student needs nothing else to be used.

    Args:
        tasks: The definition of each task, as in a task file, with its "name"; their order is
            the network's. (A list: a mapping would lose its order in the saved config.)
        unet: Arguments of diffusers' UNet2DConditionModel.
        conditioning: "task" has one learned token for each task; "text" reads the embedding of
            the instruction, so that an instruction it was not trained on is accepted too.
        text_width: Width D of the teacher's text embeddings ("text" only).
        timestep: The one timestep that the UNet is always told.
        teacher: The one it was trained with, see :mod:`i2i_dds.student.origin`; None if unknown.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        tasks: Sequence[Mapping[str, Any]],
        unet: Mapping[str, Any],
        conditioning: str = "task",
        text_width: int | None = None,
        timestep: int = 0,
        teacher: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if conditioning not in CONDITIONINGS:
            raise UserError(
                f"conditioning: '{conditioning}' is unknown; give one of {', '.join(CONDITIONINGS)}"
            )
        self.tasks = TaskSet([_task(**values) for values in tasks])
        self.conditioning, self.timestep = conditioning, timestep
        self.teacher = teacher
        self.net: Any = UNet2DConditionModel(**unet)
        nn.init.zeros_(self.net.conv_out.weight)
        nn.init.zeros_(cast(Tensor, self.net.conv_out.bias))
        width: int = self.net.config["cross_attention_dim"]
        if conditioning == "task":
            self.tokens = nn.Embedding(len(self.tasks), width)
        elif text_width is None:
            raise UserError("text_width: missing; conditioning=text needs the text's width")
        else:
            same = text_width == width
            self.project = nn.Identity() if same else nn.Linear(text_width, width)

    @property
    def latent_channels(self) -> int:
        """Channels of the latents it takes and gives."""
        return int(self.net.config["in_channels"])

    @property
    def blocks(self) -> list[nn.Module]:
        """The UNet's, in the order in which they run; what is no block's is before and after."""
        return [*self.net.down_blocks, self.net.mid_block, *self.net.up_blocks]

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """Edits latents in one pass.

        Args:
            z: Source latents, (B, C, h, w).
            condition: "task": task numbers, long (B,). "text": embeddings, (B, L, D).

        Returns:
            Edited latents, (B, C, h, w), of z's type.
        """
        tokens = self._tokens(condition)
        pooled = tokens.mean(1) if self.net.config["class_embed_type"] == "projection" else None
        change = self.net(
            z.to(tokens.dtype), self.timestep, encoder_hidden_states=tokens, class_labels=pooled
        )
        return z + change.sample.to(z.dtype)

    def condition(
        self, teacher: Any, tasks: Sequence[int] | Tensor, instructions: Sequence[str] | None = None
    ) -> Tensor:
        """What :meth:`forward` takes to carry out some tasks.

        Args:
            teacher: Whose ``embed`` reads instructions ("text" only).
            tasks: Their numbers, (B,).
            instructions: Other words for them, (B,); None is each task's own.

        Returns:
            Task numbers, long (B,), or embeddings, (B, L, D), on the student's device.
        """
        if self.conditioning == "task":
            return torch.as_tensor(tasks, dtype=torch.long).to(self.device)
        if instructions is None:
            numbers = torch.as_tensor(tasks).tolist()
            instructions = [self.tasks[number].instruction for number in numbers]
        # One at a time: a text's embedding then has the same bits in any company.
        return torch.cat([teacher.embed([text]).embeddings for text in instructions]).to(
            self.device
        )

    def _tokens(self, condition: Tensor) -> Tensor:
        """Tokens to attend to, (B, L, cross_attention_dim)."""
        is_text = condition.is_floating_point() and condition.ndim == 3
        if is_text != (self.conditioning == "text"):
            raise ValueError(
                f"a condition of shape {tuple(condition.shape)}, {condition.dtype}, is not for a "
                f"student with conditioning={self.conditioning}"
            )
        if self.conditioning == "task":
            return self.tokens(condition)[:, None]
        return self.project(condition.to(self.dtype))


def _task(name: str, **values: Any) -> Task:
    return Task.from_mapping(name, values)
