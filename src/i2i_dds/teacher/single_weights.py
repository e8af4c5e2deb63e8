"""Networks out of a single file in the layout of the models' makers, every tensor accounted for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PreTrainedModel

from i2i_dds.errors import UserError
from i2i_dds.reading import expanded
from i2i_dds.teacher.folders import NETWORKS
from i2i_dds.teacher.loading import (
    ATTENTION,
    check_config,
    first_line,
    quiet_loading,
    refuse_strangers,
    refusing_damage,
)
from i2i_dds.teacher.single_file import NETWORK, Layout, layout_of, shapes_in

Weights = Mapping[str, Tensor]

DOWNLOAD_AGAIN = "download the file again, or give as config a folder with the configs of its model"

_PASSED_OVER = re.compile(
    r"model_ema\.|first_stage_model\.(loss|model_ema)\.|denoiser\.|global_step$|scale_factor$"
    r"|(betas|alphas_cumprod(_prev)?|logvar|lvlb_weights|posterior_\w+"
    r"|(sqrt|log)_(one_minus|recip|recipm1)?_?alphas_cumprod)$"
    r"|.*(position_ids|logit_scale|spiece_model)$"
)
"""Tensors that no network is made of: averages of a training, tables of a schedule."""

_OPEN_CLIP = (".model.",)
"""Ending of the prefix of a text encoder in OpenCLIP's layout, where others have transformers'."""


@dataclass(frozen=True)
class SingleFile:
    """The weights of a single file.

    Attributes:
        path: The file.
        layout: What it holds.
        names: Of its tensors.
    """

    path: str
    layout: Layout
    names: tuple[str, ...]

    @classmethod
    def open(cls, path: str) -> SingleFile:
        """What a file holds, told by its header.

        Raises:
            UserError: It is none, holds no model that is known, or tensors that belong to no part.
        """
        layout = layout_of(path)
        names = tuple(name for name in shapes_in(path) if not _PASSED_OVER.match(name))
        found = cls(path, layout, names)
        prefixes = found._prefixes()
        strangers = [name for name in names if not name.startswith(prefixes)]
        refuse_strangers(f"path: '{path}'", [], strangers, [], DOWNLOAD_AGAIN)
        return found

    def of(self, part: str) -> tuple[str, list[str]]:
        """The prefix of a part, and the names of its tensors with it; none where it is absent."""
        for prefix in self.layout.prefixes.get(part, ()):
            others = tuple(one for one in self._prefixes() if len(one) > len(prefix))
            own = [
                name
                for name in self.names
                if name.startswith(prefix) and (prefix or not name.startswith(others))
            ]
            if own:
                return prefix, own
        return "", []

    def network(
        self, kind: Any, part: str, source: str, dtype: torch.dtype, where: dict[str, Any]
    ) -> Any:
        """The network of a class in a part.

        Args:
            kind: A class of diffusers or transformers.
            part: Its name, as the folder of a checkpoint has it.
            source: Folder or hub id with the part's config.
            dtype: Its type.
            where: Of a hub id.

        Raises:
            UserError: The file lacks a tensor, has one too many or one of another shape.
        """
        called = f"path: {part} of '{self.path}'"
        check_config(source, called, DOWNLOAD_AGAIN, subfolder=part, **where)
        prefix, names = self.of(part)
        renamed = {name: name for name in names}
        if part in NETWORKS:  # diffusers knows a UNet by a prefix, and FLUX.2 by its absence
            begins = NETWORK if part == "unet" else ""
            renamed = {name: begins + name.removeprefix(prefix) for name in names}
        weights = self._tensors(called, renamed)
        with refusing_damage(called, DOWNLOAD_AGAIN), quiet_loading():
            if PreTrainedModel in kind.__mro__:
                return _transformers(kind, part, source, called, prefix, weights, dtype, where)
            return _diffusers(kind, part, source, called, weights, dtype, where)

    def _tensors(self, called: str, renamed: Mapping[str, str]) -> dict[str, Tensor]:
        """Of these names, by the names that stand behind them."""
        try:
            with safe_open(str(expanded(self.path)), "pt") as file:
                return {new: file.get_tensor(name) for name, new in renamed.items()}
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{called} cannot be read ({first_line(error)}); {DOWNLOAD_AGAIN}"
            ) from error

    def _prefixes(self) -> tuple[str, ...]:
        return tuple(one for some in self.layout.prefixes.values() for one in some)


def _diffusers(
    kind: Any,
    part: str,
    source: str,
    called: str,
    weights: Weights,
    dtype: torch.dtype,
    where: dict[str, Any],
) -> Any:
    config = kind.load_config(source, subfolder=part, **where)
    convert = SINGLE_FILE_LOADABLE_CLASSES[kind.__name__]["checkpoint_mapping_fn"]

    def converted(these: Weights) -> Weights:
        return convert(config=config, checkpoint=dict(these))

    with init_empty_weights():
        expected = kind.from_config(config).state_dict()
    names = converted(weights)
    _account(called, names, expected)
    refuse_strangers(called, [], _unread(converted, weights, names), [], DOWNLOAD_AGAIN)
    # Renamed already: diffusers then takes the names as they are.
    return kind.from_single_file(
        dict(names), config=source, subfolder=part, torch_dtype=dtype, local_files_only=True
    )


def _transformers(
    kind: Any,
    part: str,
    source: str,
    called: str,
    prefix: str,
    weights: Weights,
    dtype: torch.dtype,
    where: dict[str, Any],
) -> Any:
    config = kind.config_class.from_pretrained(source, subfolder=part, **where)
    if prefix.endswith(_OPEN_CLIP):
        names = _of_open_clip(kind, config, prefix, weights)
    else:
        names = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
        _settle_projection(kind, config, prefix, names)
    network, info = kind.from_pretrained(
        None,
        config=config,
        state_dict=names,
        dtype=dtype,
        attn_implementation=ATTENTION,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    mismatched = [name if isinstance(name, str) else name[0] for name in info["mismatched_keys"]]
    refuse_strangers(
        called, info["missing_keys"], info["unexpected_keys"], mismatched, DOWNLOAD_AGAIN
    )
    return network


def _of_open_clip(kind: Any, config: Any, prefix: str, weights: Weights) -> dict[str, Tensor]:
    """Names of transformers. Stable Diffusion 2 reads the last layer but one, and no projection."""
    layers = config.num_hidden_layers
    numbered = re.compile(re.escape(prefix) + r"transformer\.resblocks\.(\d+)\.")
    own = {
        name: tensor
        for name, tensor in weights.items()
        if (found := numbered.match(name)) is None or int(found[1]) != layers
    }
    projected = "Projection" in kind.__name__
    if not projected:
        own.pop(f"{prefix}text_projection", None)
    with init_empty_weights():
        empty = kind(config)

    def converted(these: Weights) -> Weights:
        return convert_open_clip_checkpoint(empty, dict(these), prefix=prefix)

    names = dict(converted(own))
    for name in _unread(converted, own, names):
        names[name] = own[name]  # told as one too many
    return names


def _settle_projection(kind: Any, config: Any, prefix: str, names: dict[str, Tensor]) -> None:
    """As in diffusers: the first CLIP of SD 3 does not project what it pools; FLUX's cannot."""
    if not prefix.startswith("text_encoders.clip_l."):
        return
    names.pop("text_projection.weight", None)
    if "Projection" in kind.__name__:
        names["text_projection.weight"] = torch.eye(config.projection_dim)


def _account(called: str, names: Weights, expected: Weights) -> None:
    misshapen = [
        f"{name} {tuple(names[name].shape)} for {tuple(expected[name].shape)}"
        for name in expected
        if name in names and names[name].shape != expected[name].shape
    ]
    missing, strange = expected.keys() - names.keys(), names.keys() - expected.keys()
    refuse_strangers(called, missing, strange, misshapen, DOWNLOAD_AGAIN)


def _unread(converted: Callable[[Weights], Weights], weights: Weights, names: Weights) -> list[str]:
    """Names that a conversion passes over, which only renames, splits and joins.

    So nothing is lost where the number of values stays. Where it does not, each tensor is put in
    as a number of its own, and those that do not come out are the ones.
    """
    if sum(map(Tensor.numel, weights.values())) == sum(map(Tensor.numel, names.values())):
        return []
    order = list(weights)
    numbered = {
        name: torch.tensor(float(i)).expand(weights[name].shape) for i, name in enumerate(order)
    }
    seen = {int(i) for tensor in converted(numbered).values() for i in tensor.unique().tolist()}
    return [name for i, name in enumerate(order) if i not in seen]
