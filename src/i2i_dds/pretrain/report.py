"""How good the pocket models are, on scenes that none of them has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from i2i_dds.critters import SPECIES, Scene, caption, names_backdrop
from i2i_dds.data.images import to_pil
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.metrics.image import psnr
from i2i_dds.metrics.judge import Judge
from i2i_dds.pretrain.stages import held_out
from i2i_dds.runs import write_image
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.load import load_teacher
from i2i_dds.teacher.sample import sample


@dataclass(frozen=True)
class Report:
    """Fractions in [0, 1], dB and megabytes.

    Attributes:
        vae_psnr: mean over scenes of the reconstruction's PSNR, dB.
        judge_species, judge_backdrop, judge_expression: accuracy on renders.
        judge_species_recon, judge_backdrop_recon, judge_expression_recon: on reconstructions.
        t2i_species, t2i_backdrop: share of samples in which the judge finds what the caption
            names.
        clip_top1: how often the right caption is found among 12 that differ in species; None
            where there is no CLIP.
        weights_mb: all files, 10^6 bytes.
        n: scenes used for the first two groups and for CLIP.
        n_t2i: captions sampled.
    """

    vae_psnr: float
    judge_species: float
    judge_backdrop: float
    judge_expression: float
    judge_species_recon: float
    judge_backdrop_recon: float
    judge_expression_recon: float
    t2i_species: float
    t2i_backdrop: float
    clip_top1: float | None
    weights_mb: float
    n: int
    n_t2i: int


def report(pocket: Path, folder: Path, n: int = 1024, n_t2i: int = 256, seed: int = 0) -> Report:
    """Measures the weights in `pocket` and draws what it measured into `folder`.

    Args:
        pocket: holds `teacher/`, `judge/` and perhaps `clip/`.
        folder: receives `reconstructions.png` and `samples.png`.
        n: scenes of the test split.
        n_t2i: captions, of the same scenes.
        seed: of the sampler's noise and the captions' words.
    """
    teacher = load_teacher(str(pocket / "teacher"), device="auto")
    judge = Judge.load(pocket / "judge")
    corpus = held_out(n, "test", teacher.native_size)
    x = corpus.images(torch.arange(n))
    y = torch.cat([teacher.decode(teacher.encode(part)).cpu() for part in x.split(64)])
    captions = [caption(s, np.random.default_rng([seed, i])) for i, s in enumerate(corpus.scenes)]
    drawn, has_clip = _draw(teacher, captions[:n_t2i], seed), (pocket / "clip").is_dir()
    write_image(folder / "reconstructions.png", _rows([x[:12], y[:12], x[12:24], y[12:24]]))
    write_image(folder / "samples.png", _rows(list(drawn[:60].split(12))))
    on_renders, on_recons = judge.predict(x), judge.predict(y)
    on_drawn = judge.predict(drawn)
    return Report(
        vae_psnr=float(psnr(y, x).mean()),
        **{f"judge_{a}": _share(on_renders[a], corpus.scenes, a) for a in _JUDGED},
        **{f"judge_{a}_recon": _share(on_recons[a], corpus.scenes, a) for a in _JUDGED},
        t2i_species=_share(on_drawn["species"], corpus.scenes, "species"),
        t2i_backdrop=_named_share(on_drawn["backdrop"], corpus.scenes, captions),
        clip_top1=_clip_top1(pocket / "clip", x, corpus.scenes, captions) if has_clip else None,
        weights_mb=sum(f.stat().st_size for f in pocket.rglob("*") if _is_weight(f)) / 1e6,
        n=n,
        n_t2i=n_t2i,
    )


_JUDGED = ("species", "backdrop", "expression")


def as_json(result: Report) -> dict[str, float | None]:
    """The report's numbers by name."""
    return asdict(result)


def _draw(teacher: Teacher, prompts: Sequence[str], seed: int) -> Tensor:
    generators = item_generators(seed, range(len(prompts)))
    parts = []
    for start in range(0, len(prompts), 32):
        part = slice(start, start + 32)
        drawn = sample(teacher, list(prompts[part]), generators[part], 30, 4.0, teacher.native_size)
        parts.append(drawn.cpu())
    return torch.cat(parts)


def _share(answers: Sequence[str], truth: Sequence[Scene], attribute: str) -> float:
    right = [answer == getattr(s, attribute) for answer, s in zip(answers, truth, strict=False)]
    return sum(right) / len(right)


def _named_share(answers: Sequence[str], truth: Sequence[Scene], captions: Sequence[str]) -> float:
    """As `_share` for the backdrop, over the captions that name it."""
    named = [
        answer == s.backdrop
        for answer, s, words in zip(answers, truth, captions, strict=False)
        if names_backdrop(words, s)
    ]
    return sum(named) / len(named)


@torch.no_grad()
def _clip_top1(folder: Path, x: Tensor, scenes: Sequence[Scene], captions: Sequence[str]) -> float:
    clip = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    right = 0
    for image, scene, words in zip(x, scenes, captions, strict=True):
        options = [_with_species(words, scene.species, other) for other in SPECIES]
        tokens = tokenizer(options, padding="max_length", truncation=True, return_tensors="pt")
        out = clip(input_ids=tokens["input_ids"], pixel_values=image[None])
        right += SPECIES[int(out.logits_per_image.argmax())] == scene.species
    return right / len(scenes)


def _with_species(words: str, species: str, other: str) -> str:
    before, after = words.split(species, 1)
    if before.endswith((" a ", " an ")) or before in ("a ", "an "):
        article = "an " if other[0] in "aeiou" else "a "
        before = before.rsplit("a", 1)[0] + article
    return before + other + after


def _rows(rows: Sequence[Tensor]) -> Image.Image:
    image = to_pil(torch.cat([torch.cat(list(row), 2) for row in rows], 1))
    return image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST)


def _is_weight(path: Path) -> bool:
    return path.is_file() and path.suffix in {".safetensors", ".json", ".txt"}
