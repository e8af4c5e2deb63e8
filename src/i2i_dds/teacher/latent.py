"""What the latent diffusion models of diffusers have in common, whichever family they are of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from i2i_dds.checks import as_list, optional, require, several, text
from i2i_dds.diffusion.process import Process
from i2i_dds.errors import UserError
from i2i_dds.teacher.added_loras import add_loras
from i2i_dds.teacher.checkpoint import Checkpoint, Parts
from i2i_dds.teacher.compiled import CompiledWherePaying
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.families import families
from i2i_dds.teacher.fingerprint import fingerprint
from i2i_dds.teacher.latent_scale import scale_latents, unscale_latents
from i2i_dds.teacher.loading import COPY_AGAIN
from i2i_dds.teacher.placement import frozen, resolve_device, resolve_dtype
from i2i_dds.teacher.presets import Presets, presets_for
from i2i_dds.teacher.prompts import PromptCache
from i2i_dds.teacher.requests import Request, read_teacher

Self = TypeVar("Self", bound="LatentTeacher")


class LatentTeacher(ABC):
    """A frozen network that predicts over the latents of an autoencoder.

    A plain object and not a module, so that it enters no checkpoint and no optimizer. A family
    of models says in :meth:`_forward` what its network is called with, and how it is read.

    Args:
        vae: AutoencoderKL, or one whose latents :mod:`latent_scale` knows.
        network: What predicts, as diffusers has it.
        encoders: The networks that read prompts.
        encode_prompts: From B prompts to what the network is told, B rows.
        process: The noising that the network was trained under.
        cells: Side of the latents that it was trained on.
        presets: Settings by editor; None is those of the family.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", "mps".
        dtype: "float32", "float16", "bfloat16", "float64", or "auto" (half on a GPU).
        vae_dtype: The autoencoder's own type; None is ``dtype``.
    """

    def __init__(
        self,
        vae: Any,
        network: Any,
        encoders: Sequence[Any],
        encode_prompts: Callable[[list[str]], Conditioning],
        process: Process,
        cells: int,
        presets: Presets | None = None,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        vae_dtype: torch.dtype | None = None,
    ) -> None:
        self._device = resolve_device(device)
        self._dtype = resolve_dtype(dtype, self._device)
        self.vae = frozen(vae, self._device, vae_dtype or self._dtype)
        self._network = frozen(network, self._device, self._dtype)
        self._asked: Any = self._network
        self.text_encoders = [frozen(one, self._device, self._dtype) for one in encoders]
        self.process: Process = process
        self.latent_channels: int = vae.config.latent_channels
        self.vae_scale_factor: int = 2 ** (len(vae.config.block_out_channels) - 1)
        if not isinstance(cells, int) or cells < 1:
            raise UserError(f"path: the network's sample_size is {cells!r:.60}; {COPY_AGAIN}")
        self.native_size: int = cells * self.vae_scale_factor
        self.presets: Presets = presets_for(self.choice) if presets is None else presets
        self.source: str | None = None
        self.nfe = 0
        self._prompts = PromptCache(encode_prompts)

    choice: ClassVar[str]
    """The file of ``conf/teacher`` whose presets are the family's."""

    read: ClassVar[Callable[..., Parts]]
    """From a checkpoint, and options of the family's own, to what its class takes."""

    @classmethod
    def load(
        cls: type[Self],
        path: str,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        revision: str | None = None,
        variant: str | None = None,
        local_files_only: bool | None = None,
        presets: Mapping[str, Any] | None = None,
        pipelines: Sequence[str] | None = None,
        config: str | None = None,
        vae: str | None = None,
        lora: str | Sequence[str] | None = None,
        **options: Any,
    ) -> Self:
        """Loads safetensors weights.

        Args:
            path: The name of a shipped teacher, a folder in diffusers' format, a hub id, or a
                single ``.safetensors`` file as the model's makers publish it.
            device: See the class.
            dtype: See the class.
            revision: Branch, tag or commit of a hub id.
            variant: Of the weights' files, as "fp16"; None is the plain ones, or where a folder
                has none, those that it has.
            local_files_only: True never downloads.
            presets: Settings by editor; None is those that ``conf/teacher`` has for ``path``.
            pipelines: Names of diffusers' pipelines whose folders are taken; None is those of
                the family.
            config: Of a single file: what else the model is made of. The name of a config that
                ships, a folder in diffusers' format, which has the parts that the file lacks, or
                a hub id; None is the one that ships for what the file holds.
            vae: Another autoencoder: its folder, one with a folder ``vae``, a hub id, or a single
                file.
            lora: Files of LoRA weights, each as "path:scale", or "path" for a scale of 1. They
                are added to the weights for good.
            **options: Of the family alone, see its class.

        Raises:
            UserError: Nothing is there, it cannot be downloaded, or it is another kind of model.
        """
        texts = {"revision": revision, "variant": variant, "config": config, "vae": vae}
        for name, value in texts.items():
            require(name, value, optional(text()))
        require("lora", lora, optional(several(text())))
        device = resolve_device(device)
        dtype = resolve_dtype(dtype, device)
        family = families()[cls.choice]
        if pipelines is not None:
            family = replace(family, pipelines=tuple(pipelines))

        def read(checkpoint: Checkpoint) -> Parts:
            return cls.read(checkpoint, **options)

        parts = read_teacher(
            Request(path, family, dtype, revision, variant, local_files_only, config, vae), read
        )
        presets = presets_for(path, cls.choice) if presets is None else presets
        teacher = cls(**parts, device=device, dtype=dtype, presets=presets)
        teacher.source = path
        added = [] if lora is None else as_list(lora)
        add_loras(
            added, families()[cls.choice].pipelines[0], teacher.network, teacher.text_encoders
        )
        return teacher

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._device

    @property
    def dtype(self) -> torch.dtype:
        """The type the networks compute in; latents keep their own type outside."""
        return self._dtype

    @property
    def network(self) -> Any:
        """What predicts."""
        return self._network

    @property
    def asked(self) -> Any:
        """What predictions without gradients are made by: the network, or what stands for it."""
        return self._asked

    def to(self: Self, device: torch.device | str) -> Self:
        """Moves it, in place, and returns it."""
        self._device = resolve_device(device)
        for module in (self.vae, self._network, *self.text_encoders):
            module.to(self._device)
        self.run_plain()  # what was compiled is for where it was
        self._prompts.clear()
        return self

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Scaled latents of pictures x (B, 3, H, W) in [-1, 1], of x's type.

        The posterior's mean and not a sample, so that a picture always has the same latent.
        """
        mean = self.vae.encode(x.to(self._device, self.vae.dtype)).latent_dist.mode()
        return scale_latents(self.vae, mean.to(x.dtype))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) of latents z (B, C, h, w), clamped to [-1, 1], of z's type."""
        unscaled = unscale_latents(self.vae, z).to(self._device, self.vae.dtype)
        decoded = self.vae.decode(unscaled).sample
        return decoded.to(z.dtype).clamp(-1, 1)

    def embed(self, prompts: Sequence[str]) -> Conditioning:
        """What the network is told of B prompts, each computed once."""
        return self._prompts(prompts)

    @torch.no_grad()
    def predict_noise(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """The noise in z_t, (B, C, h, w); arguments as in the interface."""
        return self._noise(self._asked, z_t, t, text)

    def noise_with_graph(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """The same with a graph back to z_t, where gradients are on."""
        return self._noise(self._network, z_t, t, text)

    def training_loss(self, z: Tensor, text: Conditioning, t: Tensor, eps: Tensor) -> Tensor:
        """What the network was trained with: mean squared error of what it predicts, (B,)."""
        output = self._forward(self._network, self.process.mix(z, eps, t), t, text)
        return (output - self.process.target(z, eps, t)).square().mean((1, 2, 3))

    def compile(self, calls: int | None = None) -> None:
        """Compiles the network for predictions without gradients, where that pays.

        Args:
            calls: How many are to come, by which it is decided; None compiles in any case.
        """
        self._asked = CompiledWherePaying(self._network, calls)

    def use_onnx(self, folder: str | Path | None = None) -> None:
        """Has ONNX Runtime make the predictions without gradients, on the CPU.

        Args:
            folder: Where the network's files are kept for later processes, by the fingerprint of
                the weights; None is ``$I2I_DDS_CACHE``, or ``i2i_dds`` in the user's cache folder.

        Raises:
            UserError: The extra ``export`` is missing, or this is no float32 teacher on the CPU.
        """
        from i2i_dds.teacher.onnx_network import OnnxNetwork, cache_folder  # brings torch.export

        kept = cache_folder() if folder is None else Path(folder)
        self._asked = OnnxNetwork(self._network, kept / "onnx" / fingerprint(self).hex())

    def run_plain(self) -> Callable[[], None]:
        """Undoes both: weights are constants there, and would not follow changes.

        Returns:
            What does them again, for weights that are again what and where they were.
        """
        before, device = self._asked, self._device

        def as_before() -> None:
            if self._device == device:
                self._asked = before

        self._asked = self._network
        return as_before

    def _noise(self, network: Any, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        self.nfe += len(z_t)
        output = self._forward(network, z_t, t, text)
        return self.process.to_eps(output, z_t.to(self._device), t.to(self._device))

    @abstractmethod
    def _forward(self, network: Any, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """What the network says of z_t (B, C, h, w) at t (B,), of z_t's type and shape.

        Args:
            network: This teacher's own, or what calls it.
            z_t: Noisy latents.
            t: Timesteps.
            text: Of the prompts, B rows.
        """
