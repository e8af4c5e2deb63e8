"""Which model a single ``.safetensors`` file holds, told by the names and shapes of its tensors.

Nothing heavy is imported here: only the file's header is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from i2i_dds.errors import UserError
from i2i_dds.reading import expanded, parse_object

PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
"""Endings of files that run what they hold when they are read."""

_LARGEST_HEADER = 100 * 2**20
"""Bytes, as the safetensors library has it."""

NETWORK = "model.diffusion_model."
"""What the names of the predicting network begin with, unless it stands alone in the file."""

_STABLE_DIFFUSION = {
    "unet": (NETWORK,),
    "vae": ("first_stage_model.",),
    "text_encoder": ("cond_stage_model.transformer.", "cond_stage_model.model."),
}
_SDXL = {
    "unet": (NETWORK,),
    "vae": ("first_stage_model.",),
    "text_encoder": ("conditioner.embedders.0.transformer.",),
    "text_encoder_2": ("conditioner.embedders.1.model.",),
}
_SD3 = {
    "transformer": (NETWORK,),
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("text_encoders.clip_l.transformer.",),
    "text_encoder_2": ("text_encoders.clip_g.transformer.",),
    "text_encoder_3": ("text_encoders.t5xxl.transformer.",),
}
_FLUX = {
    "transformer": (NETWORK,),
    "vae": ("vae.", "first_stage_model."),
    "text_encoder": ("text_encoders.clip_l.transformer.",),
    "text_encoder_2": ("text_encoders.t5xxl.transformer.",),
}
_FLUX2_KLEIN = {"transformer": (NETWORK,)}
_SD3_CONFIGS = {
    (24, 36864): "sd3_medium",
    (24, 147456): "sd35_medium",
    (38, 36864): "sd35_large",
}
"""Number of blocks and of places of the three Stable Diffusion 3 that were published."""

_WIDTH_OF_SD2 = 1024

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """What a single file holds.

    Attributes:
        choice: The family, what ``teacher=`` takes.
        prefixes: Part, as a folder would have it -> what the names of its tensors may begin with.
        config: Which of the shipped configs fits; None where none ships.
    """

    choice: str
    prefixes: Mapping[str, tuple[str, ...]]
    config: str | None


def is_weights_file(path: str | Path) -> bool:
    """Whether a path means a file of weights, there or not, and no folder or hub id."""
    file = expanded(path)
    return file.is_file() or (not file.is_dir() and file.suffix in (".safetensors", *PICKLES))


def layout_of(path: str | Path) -> Layout:
    """Which model a file holds.

    Raises:
        UserError: It is not there, is no safetensors file, or holds no model that is supported.
    """
    return _layout(shapes_in(path), path)


def shapes_in(path: str | Path, argument: str = "path") -> Shapes:
    """Name -> shape of the tensors in a safetensors file.

    Args:
        path: The file.
        argument: What the caller calls it, for errors.

    Raises:
        UserError: It is not there, or something else, such as a pickle.
    """
    file = expanded(path)
    _check_kind(file, path, argument)
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(_LARGEST_HEADER, file.stat().st_size - 8):
                raise ValueError("its header is cut off")
            header = parse_object(stream.read(length))
        return {
            name: tuple(int(side) for side in about["shape"])
            for name, about in header.items()
            if name != "__metadata__"
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{argument}: '{path}' is no safetensors file ({error or type(error).__name__}); "
            "copy or download it again"
        ) from error


def _check_kind(file: Path, path: str | Path, argument: str) -> None:
    if not file.is_file():
        raise UserError(f"{argument}: '{path}' is no file; give one that ends in .safetensors")
    with file.open("rb") as stream:
        begins = stream.read(2)
    if file.suffix in PICKLES or begins in (b"PK", b"\x80\x02"):
        target = str(file.with_suffix(".safetensors"))
        raise UserError(
            f"{argument}: '{path}' is a pickle, which may run code when it is read; convert it by "
            f"{conversion(str(file), target)} and give {target}"
        )


def conversion(source: str, target: str) -> str:
    """The command that writes a pickle's tensors as safetensors, without running what it holds."""
    return (
        'python -c "import torch, safetensors.torch as s; '
        f"w = torch.load({source!r}, map_location='cpu', weights_only=True); "
        "w = w.get('state_dict', w); "
        "s.save_file({k: v.clone().contiguous() for k, v in w.items() if hasattr(v, 'shape')}, "
        f'{target!r})"'
    )


def _layout(shapes: Shapes, path: str | Path) -> Layout:
    alone = not any(name.startswith(NETWORK) for name in shapes)
    prefix = "" if alone else NETWORK

    def at(name: str) -> tuple[int, ...] | None:
        return shapes.get(prefix + name)

    first = at("input_blocks.0.0.weight")
    if first is not None:
        found = _of_a_unet(shapes, first, at("label_emb.0.0.weight") is not None, path)
    elif at("joint_blocks.0.x_block.attn.qkv.weight") is not None:
        blocks = {
            name.removeprefix(prefix).split(".")[1] for name in shapes if "joint_blocks." in name
        }
        places = (*(at("pos_embed") or ()), 0, 0)[1]
        found = Layout("sd35", _SD3, _SD3_CONFIGS.get((len(blocks), places)))
    elif at("double_blocks.0.img_attn.qkv.weight") is not None:
        found = _of_flux(at("img_in.weight"), at)
    else:
        _refuse(shapes, path)
    if found is None:
        _refuse(shapes, path)
    if not alone:
        return found
    network = next(iter(found.prefixes))
    return Layout(found.choice, {**found.prefixes, network: ("",)}, found.config)


def _of_a_unet(shapes: Shapes, first: tuple[int, ...], sized: bool, path: str | Path) -> Layout:
    if first[1:2] != (4,):
        raise UserError(
            f"path: the UNet of '{path}' takes {first[1] if len(first) > 1 else 0} channels; give "
            "a plain text-to-image model, not one for inpainting or instructions"
        )
    if any(name.startswith("conditioner.embedders.0.model.") for name in shapes):
        raise UserError(
            f"path: '{path}' is the refiner of Stable Diffusion XL, which finishes another "
            "model's pictures; give the base model"
        )
    if sized:
        return Layout("sdxl", _SDXL, "sdxl")
    open_clip = any(name.startswith("cond_stage_model.model.") for name in shapes)
    widths = {shape[-1:] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")}
    second = open_clip or (_WIDTH_OF_SD2,) in widths
    return Layout("sd15", _STABLE_DIFFUSION, "sd21" if second else "sd15")


def _of_flux(first: tuple[int, ...] | None, at: Any) -> Layout | None:
    """FLUX.1 or FLUX.2 klein; neither FLUX.2 dev nor Chroma nor one that takes a picture more."""
    if first is None or at("distilled_guidance_layer.in_proj.weight") is not None:
        return None
    second = at("single_stream_modulation.lin.weight") is not None
    guided = at("guidance_in.in_layer.weight") is not None
    if second and first[1:] == (128,) and not guided:
        return Layout("flux2_klein", _FLUX2_KLEIN, None)
    return Layout("flux", _FLUX, None) if not second and first[1:] == (64,) else None


def _refuse(shapes: Shapes, path: str | Path) -> NoReturn:
    """Says what a file is instead, as far as that can be told."""
    names = sorted(shapes)
    if any("lora" in name.lower() for name in names):
        what = "is a LoRA; give a model, and the LoRA as lora"
    elif any(name.startswith("decoder.") for name in names):
        what = "is an autoencoder; give a model, and the autoencoder as vae"
    elif any(name.startswith(("down_blocks.", "transformer_blocks.")) for name in names):
        what = "is one network of a diffusers folder; give the whole folder"
    else:
        begins = f" (its tensors are {', '.join(names[:3])}, ...)" if names else ""
        what = f"is no model that is known here{begins}; give one of Stable Diffusion 1, 2, XL, 3, "
        what += "FLUX.1 or FLUX.2 klein as its makers publish it, or a folder in diffusers' format"
    raise UserError(f"path: '{path}' {what}")
