"""A teacher that has learned one picture: the adapter on, as strong as the timestep wants it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from peft import set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor

from i2i_dds.checks import check_fields, checked, integer, number
from i2i_dds.diffusion.process import Process
from i2i_dds.editing.lora import ADAPTER, check_bare
from i2i_dds.editing.sde import Scale, scale_at
from i2i_dds.errors import UserError
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


@dataclass(frozen=True)
class CosineScale:
    """Half a cosine from ``high`` at the clean end, t = 0, to ``low`` at t_end and beyond.

    SDE-Drag (Nie et al., ICLR 2024) says "from 1 to 0.5"; the direction is that of the authors'
    code (ML-GSAI/SDE-Drag, ``scale_schedule`` and ``forward`` in utils/drag.py), which counts from
    the clean end up: near it the picture's details are decided and the adapter, which knows them,
    has its full say; where the noise is large the plain teacher has more.

    Attributes:
        high: Scale at t = 0.
        low: Scale from t_end on.
        t_end: Timestep that the drag starts from: the top of its way, 0.6 x 1000 in the paper.
    """

    high: float = checked(number(min=0), default=1.0)
    low: float = checked(number(min=0), default=0.5)
    t_end: int = checked(integer(min=1), default=600)

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, t: int) -> float:
        """The scale at timestep t."""
        way = min(max(t, 0), self.t_end) / self.t_end
        return self.low + (self.high - self.low) * (1 + math.cos(math.pi * way)) / 2


class LoraTeacher:
    """A Stable Diffusion teacher with an adapter on it, for one picture.

    The adapter is on only while this object is asked: what it was made of goes on answering as
    the plain teacher, to the bit. One adapter fits on a teacher at a time, so several pictures are
    edited one after the other::

        for file in files:
            with LoraTeacher(teacher, file, CosineScale()) as learned:
                ...

    Args:
        teacher: The plain one.
        file: The adapter in diffusers' format.
        scale: Of the adapter, one number or a function of the timestep.

    Raises:
        UserError: The file is not an adapter for this teacher.
    """

    def __init__(
        self, teacher: StableDiffusionTeacher, file: str | Path, scale: Scale = 1.0
    ) -> None:
        check_bare(teacher)
        self._run_as_before = teacher.run_plain()
        self.plain, self.scale = teacher, scale
        self.process: Process = teacher.process
        self.latent_channels: int = teacher.latent_channels
        self.vae_scale_factor: int = teacher.vae_scale_factor
        self.native_size: int = teacher.native_size
        self.nfe: int = teacher.nfe
        self.presets = teacher.presets
        self._layers = _put_on(teacher, Path(file))
        self._switch(False)

    def __enter__(self) -> LoraTeacher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Takes the adapter off; this object then answers as the plain teacher."""
        if self._layers:
            self._layers = []
            self.plain.network.unload_lora()
            self._run_as_before()

    @property
    def network(self) -> Any:
        """The plain teacher's."""
        return self.plain.network

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.plain.device

    @property
    def dtype(self) -> torch.dtype:
        """The type the networks compute in; the adapter's own weights are float32 at least."""
        return self.plain.dtype

    def to(self, device: torch.device | str) -> LoraTeacher:
        """Moves it, in place, and returns it."""
        self.plain.to(device)
        return self

    def encode(self, x: Tensor) -> Tensor:
        """As the plain teacher does."""
        return self.plain.encode(x)

    def decode(self, z: Tensor) -> Tensor:
        """As the plain teacher does."""
        return self.plain.decode(z)

    def embed(self, prompts: Sequence[str]) -> Conditioning:
        """As the plain teacher does."""
        return self.plain.embed(prompts)

    def predict_noise(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """The noise in z_t, (B, C, h, w); rows of one scale share a forward pass.

        The adapter has one scale a pass. Equal rows have equal timesteps, hence one pass, and
        come out bit-identical as they do from the plain teacher.
        """
        self.nfe += len(z_t)
        if not self._layers:
            return self.plain.predict_noise(z_t, t, text)
        scales = torch.tensor([scale_at(self.scale, at) for at in t.tolist()], dtype=torch.float64)
        found = scales.unique()
        if len(found) == 1:
            return self._at(found.item(), z_t, t, text)
        groups = [(scales == scale).nonzero()[:, 0] for scale in found]
        parts = [
            self._at(scale.item(), z_t[rows], t[rows], text.take(rows))
            for scale, rows in zip(found, groups, strict=True)
        ]
        return torch.cat(parts)[torch.cat(groups).argsort()]

    def _at(self, scale: float, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        for layer in self._layers:
            layer.set_scale(ADAPTER, scale)
        self._switch(True)
        try:
            return self.plain.predict_noise(z_t, t, text)
        finally:
            self._switch(False)

    def _switch(self, on: bool) -> None:
        for layer in self._layers:
            layer.enable_adapters(on)
            for part in (*layer.lora_A.values(), *layer.lora_B.values()):
                part.requires_grad_(False)  # enabling asks for them


def _put_on(teacher: StableDiffusionTeacher, file: Path) -> list[LoraLayer]:
    """Loads the file into the UNet; on failure the UNet is as it was."""
    unet, wanted = teacher.network, torch.promote_types(teacher.dtype, torch.float32)
    try:
        # A path that is not there would be looked up on the hub, and a pipe waited for.
        if not file.is_file():
            raise FileNotFoundError("no such file")
        loaded: Any = StableDiffusionLoraLoaderMixin.lora_state_dict(
            str(file.parent),
            weight_name=file.name,
            return_lora_metadata=True,
            unet_config=unet.config,
            local_files_only=True,
        )
        state, alphas, metadata = loaded
        if not any(name.startswith("unet.") for name in state):
            raise KeyError("it holds no weights for a UNet")
        with torch.random.fork_rng(devices=[]):
            StableDiffusionLoraLoaderMixin.load_lora_into_unet(
                state, alphas, unet, adapter_name=ADAPTER, metadata=metadata
            )
        layers = [module for module in unet.modules() if isinstance(module, LoraLayer)]
        if teacher.dtype != wanted:
            # Loaded in the teacher's type, they are rounded; loaded again, they are not.
            for layer in layers:
                for side in (layer.lora_A, layer.lora_B):
                    side.to(wanted)
            exact = {name.removeprefix("unet."): w for name, w in state.items()}
            set_peft_model_state_dict(unet, _peft_names(exact), ADAPTER)
    except Exception as error:
        unet.unload_lora()
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"lora: '{file}' is no LoRA for this teacher ({reason[0]}); "
            "give one that was trained on it"
        ) from error
    return layers


def _peft_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    from diffusers.utils import convert_unet_state_dict_to_peft

    return state if "lora_A" in next(iter(state)) else convert_unet_state_dict_to_peft(state)
