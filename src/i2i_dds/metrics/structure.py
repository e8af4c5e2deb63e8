"""Structure distance: how differently two pictures resemble themselves, whatever their colors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from huggingface_hub import model_info
from safetensors import SafetensorError
from torch import Tensor
from transformers import ViTConfig, ViTModel

from i2i_dds.errors import UserError
from i2i_dds.reading import expanded
from i2i_dds.teacher.loading import ATTENTION, check_sizes, refusing_damage

DINO = "facebook/dino-vitb8"
SIDE = 224
"""Side in pixels to which pictures are stretched."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
_KEYS = (".k_proj", ".attention.key")  # what releases of transformers call a layer's keys


class StructureDistance:
    """The distance of Splicing ViT Features (Tumanyan et al., CVPR 2022, eqs. 3 and 4).

    A picture's structure is the matrix of cosine similarities of its tokens, the class token
    among them, by their keys (all heads joined) in the last layer of a DINO ViT. The distance is
    the mean squared difference of two such matrices.

    Pictures are stretched to 224 x 224, bilinear and without antialiasing as torchvision 0.13
    does with tensors, which PIE-Bench's README asks for.

    Args:
        model: A ViTModel; published numbers are DINO ViT-B/8's.
    """

    def __init__(self, model: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self._keys = [layer for name, layer in model.named_modules() if name.endswith(_KEYS)][-1]
        self._mean = torch.tensor(_MEAN, device=model.device).reshape(1, 3, 1, 1)
        self._std = torch.tensor(_STD, device=model.device).reshape(1, 3, 1, 1)

    @classmethod
    def load(
        cls,
        path: str = DINO,
        device: str = "cpu",
        local_files_only: bool = False,
        key: str = "structure",
    ) -> StructureDistance:
        """The ViT of a folder in transformers' format, or of a hub id.

        A hub id is looked up in the local cache first, so that a model once downloaded loads
        without a network.

        Args:
            path: Folder or hub id, weights as safetensors.
            device: Where it is to compute.
            local_files_only: True never downloads.
            key: What errors call it.

        Raises:
            UserError: No whole ViT is there and it cannot be downloaded.
        """
        try:
            model = _read(path, cached=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            if not _is_hub_id(path):
                raise UserError(
                    f"{key}: '{path}' holds no ViT ({_first_line(error)}); {_get(DINO)}"
                ) from error
            model = _download(path, local_files_only, key)
        return cls(model.to(device))

    def __call__(self, x: Tensor, y: Tensor, peak: float = 1.0) -> Tensor:
        """The distance of each pair of pictures.

        Args:
            x: Pictures (B, 3, H, W) in [-1, 1].
            y: What they are compared with, (B, 3, H', W').
            peak: White's value when ImageNet's mean and deviation are applied: 1 as the ViT was
                trained. PIE-Bench's published numbers have 255.

        Returns:
            (B,) from 0 to 4, 0 for equal pictures.
        """
        difference = self.self_similarity(x, peak) - self.self_similarity(y, peak)
        return difference.square().mean((1, 2))

    @torch.no_grad()
    def self_similarity(self, x: Tensor, peak: float = 1.0) -> Tensor:
        """Cosines of all pairs of tokens, (B, T, T); arguments as when called."""
        keys = F.normalize(self._keys_of(x, peak), dim=2)
        return keys @ keys.mT

    def _keys_of(self, x: Tensor, peak: float) -> Tensor:
        """Keys of the last layer, (B, T, D)."""
        x = (x.to(self.model.device, self.model.dtype) + 1) / 2 * peak
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear")
        caught: list[Tensor] = []
        hook = self._keys.register_forward_hook(lambda *call: caught.append(call[2]))
        try:
            self.model((x - self._mean) / self._std, interpolate_pos_encoding=True)
        finally:
            hook.remove()
        return caught[0]


def _read(source: str, cached: bool) -> Any:
    """The ViT, in float32.

    Raises:
        OSError: It is not there.
        ValueError: It is another kind of model or lacks weights.
    """
    if not _is_hub_id(source):
        source = str(expanded(source))
        if not Path(source).is_dir():  # transformers would ask the hub for it
            raise FileNotFoundError("it is no folder")
    with refusing_damage("it"):
        about, _ = ViTConfig.get_config_dict(source, local_files_only=cached)
        if about.get("model_type") != "vit":
            raise ValueError(f"its model_type is {about.get('model_type')}, not vit")
        check_sizes(about, "its config.json")
        loaded: Any = ViTModel.from_pretrained(
            source,
            add_pooling_layer=False,
            attn_implementation=ATTENTION,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=cached,
            output_loading_info=True,
        )
    model, found = loaded
    if found["missing_keys"]:  # transformers would make them up
        raise ValueError(f"{len(found['missing_keys'])} of its weights are missing")
    return model


def _download(source: str, forbidden: bool, key: str) -> Any:
    reason = "local_files_only is set"
    if not forbidden:
        try:
            # Asked once and briefly: from_pretrained tries each file six times when offline.
            model_info(source, timeout=10)
            return _read(source, cached=False)
        except Exception as error:  # whichever the client library of the day raises
            reason = _first_line(error)
    raise UserError(
        f"{key}: '{source}' is not on this machine and could not be downloaded ({reason}); "
        f"{_get(source)}"
    )


def _is_hub_id(path: str) -> bool:
    looks_local = path.startswith((".", "/", "~")) or Path(path).exists()
    return not looks_local and path.count("/") == 1


def _get(source: str) -> str:
    return (
        f"where there is a network run `hf download {source} config.json model.safetensors "
        "--local-dir DIR`, copy DIR here and give its path"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
