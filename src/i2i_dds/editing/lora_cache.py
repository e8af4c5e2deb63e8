"""Adapters on disk: diffusers' format, trained once for each (picture, prompt, settings)."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.utils import convert_state_dict_to_diffusers
from safetensors import SafetensorError, safe_open
from torch import Tensor

from i2i_dds.editing.lora import LoraSettings, OnStep, TrainedLora, check_bare, train_lora
from i2i_dds.reading import parse_object
from i2i_dds.runs import replacing, write_json
from i2i_dds.teacher.fingerprint import fingerprint, tensor_bytes
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

log = logging.getLogger(__name__)

_FORMAT = 1
"""Raised when the same settings come to mean another training."""


@dataclass(frozen=True)
class KeptLora:
    """An adapter on disk.

    Attributes:
        file: Its safetensors file.
        losses: One a step.
        seconds: Its training took.
        reused: Whether it was there already.
    """

    file: Path
    losses: tuple[float, ...]
    seconds: float
    reused: bool


def lora_for(
    teacher: StableDiffusionTeacher,
    x: Tensor,
    prompt: str,
    settings: LoraSettings,
    folder: str | Path,
    on_step: OnStep | None = None,
) -> KeptLora:
    """The adapter of a picture: the one in ``folder``, or where there is none, a new one.

    Two files a LoRA are kept, named by a hash of the picture's pixels, its prompt, the settings and
    the teacher: the weights, and a JSON that says in words what they are. The weights are written
    last, so where they are whole the LoRA is. A broken one is trained again.

    Args:
        teacher: Whose UNet it is for; with no adapter on it.
        x: The picture, (3, H, W) in [-1, 1].
        prompt: What it shows.
        settings: How to train.
        folder: Where LoRAs are kept; made when absent.
        on_step: Told of each step of a training.

    Raises:
        UserError: See :func:`~i2i_dds.editing.lora.train_lora`; or the folder cannot be written.
    """
    check_bare(teacher)
    file = Path(folder) / f"{_name(teacher, x, prompt, settings)}.safetensors"
    kept = _read(file)
    if kept is not None:
        log.info("lora: reusing %s, trained before", file)
        return kept
    start = perf_counter()
    z = teacher.encode(x[None])
    trained = train_lora(teacher, z, teacher.embed([prompt]), settings, on_step)
    about = {"prompt": prompt, "height": x.shape[-2], "width": x.shape[-1], **asdict(settings)}
    about |= {"seconds": perf_counter() - start, "losses": trained.losses}
    write_json(file.with_suffix(".json"), about)
    save_lora(trained, settings, file)
    return KeptLora(file, trained.losses, about["seconds"], reused=False)


def save_lora(trained: TrainedLora, settings: LoraSettings, file: str | Path) -> None:
    """Writes ``file``, such that ``StableDiffusionPipeline.load_lora_weights`` reads it."""
    with replacing(file) as partial:
        StableDiffusionLoraLoaderMixin.save_lora_weights(
            partial.parent,
            unet_lora_layers=convert_state_dict_to_diffusers(trained.weights),
            unet_lora_adapter_metadata=settings.config(),
            weight_name=partial.name,
        )


def _read(file: Path) -> KeptLora | None:
    """What is kept under the name; None where nothing whole is."""
    try:
        with safe_open(str(file), "pt") as weights:
            list(weights.keys())
        about = parse_object(file.with_suffix(".json").read_bytes())
        return KeptLora(file, tuple(about["losses"]), float(about["seconds"]), reused=True)
    except FileNotFoundError:
        if not file.exists():
            return None
        reason = "its JSON is missing"
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        reason = str(error).strip().splitlines()[0]
    log.warning("lora: %s is broken (%s); training it again", file, reason)
    return None


def _name(teacher: StableDiffusionTeacher, x: Tensor, prompt: str, settings: LoraSettings) -> str:
    told = {"format": _FORMAT, "prompt": prompt, "size": list(x.shape), **asdict(settings)}
    told |= {"alpha": float(settings.config()["lora_alpha"]), "lr": float(settings.lr)}
    named = hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=12)
    named.update(tensor_bytes(x))
    named.update(fingerprint(teacher))
    return named.hexdigest()
