"""The parts of a checkpoint in diffusers' format, as a family of models asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import SchedulerMixin
from diffusers.configuration_utils import ConfigMixin
from transformers import (
    AutoTokenizer,
    CLIPTextModel,
    CLIPTokenizer,
    PreTrainedModel,
    T5EncoderModel,
)

from i2i_dds.errors import UserError
from i2i_dds.teacher.folders import content_of, weights_variant
from i2i_dds.teacher.loading import (
    ATTENTION,
    MARKS,
    TOKENIZER_CONFIG,
    check_config,
    load_whole,
    refusing_damage,
)
from i2i_dds.teacher.other_vae import load_other_vae
from i2i_dds.teacher.part_checks import check_distances, check_parts
from i2i_dds.teacher.shipped_configs import is_shipped, shipped_tokenizer
from i2i_dds.teacher.single_weights import SingleFile

Parts = dict[str, Any]


class _AnyScheduler(SchedulerMixin, ConfigMixin):
    """Reads the config of a scheduler of any class."""

    config_name = "scheduler_config.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose parts are read one by one.

    Every part comes whole, or a sentence says what is wrong with it.

    Attributes:
        source: A folder, or a hub id.
        dtype: The networks' type.
        revision: Of a hub id.
        variant: Of the weights' files, such as "fp16"; None is the plain ones, or where a folder
            has none, those that it has.
        cached: Whether only local files are read.
        file: The single file that the weights are in; ``source`` then has the configs, and the
            parts that the file lacks.
        vae: Another autoencoder than its own; see :func:`load_other_vae`.
        local_files_only: Whether that is never downloaded.
    """

    source: str
    dtype: torch.dtype = torch.float32
    revision: str | None = None
    variant: str | None = None
    cached: bool = True
    file: SingleFile | None = None
    vae: str | None = None
    local_files_only: bool = False

    @property
    def index(self) -> dict[str, Any]:
        """What ``model_index.json`` says.

        Raises:
            FileNotFoundError: There is none.
        """
        return content_of(self.source, self.revision, self.cached)

    def has(self, part: str) -> bool:
        """Whether the index names a class for a part: ``[null, null]`` stands for none.

        A single file and the configs beside it may both be without its weights.
        """
        names = self.index.get(part)
        named = isinstance(names, list) and bool(names) and bool(names[0])
        if self.file is None or not named:
            return named
        return bool(self.file.of(part)[1]) or any(Path(self.source, part).glob("*.safetensors"))

    @property
    def called(self) -> str:
        """What the user called it."""
        return self.source if self.file is None else self.file.path

    def scheduler(self) -> Mapping[str, Any]:
        """The config of the scheduler, with the name of its class."""
        config = _AnyScheduler.load_config(self.source, subfolder="scheduler", **self._where)
        return cast("dict[str, Any]", config)

    def network(self, kind: Any, part: str) -> Any:
        """The network of a class in a part, every weight accounted for; see :func:`load_whole`."""
        if part == "vae" and self.vae is not None:
            return load_other_vae(
                kind, self.vae, self.source, self.dtype, self._where, self.local_files_only
            )
        if self.file is not None and self.file.of(part)[1]:
            return self.file.network(kind, part, self.source, self.dtype, self._where)
        options: dict[str, Any] = {"torch_dtype": self.dtype}
        if PreTrainedModel in kind.__mro__:
            options = {"dtype": self.dtype, "attn_implementation": ATTENTION}
        return load_whole(
            kind,
            self.source,
            self._part(part),
            subfolder=part,
            variant=self.variant or weights_variant(self.source),
            **options,
            **self._where,
        )

    def clip(self, suffix: str = "", kind: Any = CLIPTextModel) -> Parts:
        """A CLIP's tokenizer and text encoder, in the folders that end with ``suffix``.

        Raises:
            UserError: Files are damaged.
            FileNotFoundError: The tokenizer has no words, which is what transformers makes of an
                absent folder.
        """
        part, encoder = f"tokenizer{suffix}", f"text_encoder{suffix}"
        tokenizer = self._tokenizer(CLIPTokenizer, part)
        if len(tokenizer) <= MARKS:
            raise FileNotFoundError(f"no tokenizer files found in folder {part}")
        return {part: tokenizer, encoder: self.network(kind, encoder)}

    def t5(self, suffix: str = "", kind: Any = T5EncoderModel) -> Parts:
        """A T5's tokenizer and encoder, in the folders that end with ``suffix``.

        Raises:
            UserError: Files are damaged.
            FileNotFoundError: The tokenizer is absent, which transformers tells as damage.
        """
        part, encoder = f"tokenizer{suffix}", f"text_encoder{suffix}"
        if is_shipped(self.source):
            raise UserError(
                f"config: no tokenizer of T5 ships, which '{self.called}' wants; give a folder "
                "with the tokenizers of its model" + (", or t5=false" if suffix == "_3" else "")
            )
        tokenizer = self._any_tokenizer(part)
        network = self.network(kind, encoder)
        check_distances(self._part(encoder), network.config)
        return {part: tokenizer, encoder: network}

    def language_model(self, kind: Any) -> Parts:
        """A language model that reads prompts, and its tokenizer, which sets them in a chat.

        Args:
            kind: A class of transformers.

        Raises:
            UserError: Files are damaged, or the tokenizer knows no chat.
            FileNotFoundError: The tokenizer is absent.
        """
        part = "tokenizer"
        tokenizer = self._any_tokenizer(part)
        with refusing_damage(self._part(part)):
            tokenizer.apply_chat_template([{"role": "user", "content": "a cat"}], tokenize=False)
        return {part: tokenizer, "text_encoder": self.network(kind, "text_encoder")}

    def checked(self, parts: Parts, clip_lengths: bool = True) -> Parts:
        """The parts, if their numbers and tokenizers make sense together.

        Args:
            parts: ``vae``, and the tokenizers and text encoders by the names of their folders.
            clip_lengths: Whether a CLIP's tokenizer may fill a text up to no more tokens than its
                encoder has places, for diffusers' own ``encode_prompt``.

        Raises:
            UserError: They do not.
        """
        check_parts(self.called, parts, clip_lengths)
        return parts

    def refuse_misfits(self, network: str, pairs: Mapping[str, tuple[Any, Any]]) -> None:
        """Refuses parts that do not belong together.

        Args:
            network: What the predicting network is called, such as "UNet".
            pairs: What it takes, in words -> how much of it, and how much the other parts give.

        Raises:
            UserError: Two differ.
        """
        for what, (wanted, has) in pairs.items():
            if wanted != has:
                raise UserError(
                    f"path: the {network} of '{self.called}' takes {what} {wanted} and its other "
                    f"parts give {has}; give a plain text-to-image model whose parts belong "
                    "together"
                )

    def _any_tokenizer(self, part: str) -> Any:
        """Of the class that its folder names; that one is absent is damage to transformers."""
        if Path(self.source).is_dir() and not (Path(self.source) / part).is_dir():
            raise FileNotFoundError(f"no tokenizer files found in folder {part}")
        return self._tokenizer(AutoTokenizer, part, trust_remote_code=False)

    def _tokenizer(self, kind: Any, part: str, **options: Any) -> Any:
        if is_shipped(self.source):
            return shipped_tokenizer(Path(self.source, part))
        called = self._part(part)
        check_config(self.source, called, name=TOKENIZER_CONFIG, subfolder=part, **self._where)
        with refusing_damage(called):
            return kind.from_pretrained(self.source, subfolder=part, **options, **self._where)

    @property
    def _where(self) -> dict[str, Any]:
        return {"revision": self.revision, "local_files_only": self.cached}

    def _part(self, part: str) -> str:
        return f"path: {part} of '{self.source}'"
