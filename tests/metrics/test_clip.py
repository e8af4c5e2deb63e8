import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch

from i2i_dds.critters import caption, render, scenes
from i2i_dds.data.images import to_tensor
from i2i_dds.errors import UserError
from i2i_dds.metrics.clip import Clip
from i2i_dds.pocket import directory

CATS = scenes("val", 6, species="cat")


def pictures(several) -> torch.Tensor:
    return torch.stack([to_tensor(render(scene)) for scene in several])


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip.load()


def words(several) -> list[str]:
    return [caption(scene, np.random.default_rng(i)) for i, scene in enumerate(several)]


def test_pictures_are_nearer_to_their_own_words(clip):
    lions = [scene.replace(species="lion") for scene in CATS]
    x, own, other = pictures(CATS), words(CATS), words(lions)
    assert (clip.score(x, own) > clip.score(x, other)).all()
    assert clip.images(x).norm(dim=1).tolist() == pytest.approx([1.0] * 6, abs=1e-5)


def test_an_edit_goes_the_way_of_its_prompts(clip):
    lions = [scene.replace(species="lion") for scene in CATS]
    x, y = pictures(CATS), pictures(lions)
    there = clip.direction(y, x, words(lions), words(CATS))
    back = clip.direction(x, y, words(lions), words(CATS))
    torch.testing.assert_close(back, -there, atol=1e-5, rtol=0)
    assert there.mean() > 0.3


def test_scores_are_those_of_transformers_own_forward(clip):
    """CLIPModel's logits are cosines times its scale, and its embeddings have a direction each."""
    lions = [scene.replace(species="lion") for scene in CATS]
    x, y, own, other = pictures(CATS), pictures(lions), words(CATS), words(lions)

    def asked(picture: torch.Tensor, prompts: list[str]) -> Any:
        pixels = ((picture + 1) / 2 - clip._mean) / clip._std
        length = clip.model.config.text_config.max_position_embeddings
        tokens = clip.tokenizer(
            prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        with torch.no_grad():
            return clip.model(input_ids=tokens["input_ids"], pixel_values=pixels)

    before, after = asked(x, own), asked(y, other)
    cosines = before.logits_per_image.diagonal() / clip.model.logit_scale.exp()
    torch.testing.assert_close(clip.score(x, own), cosines)
    i, j = ((one.image_embeds.numpy(), one.text_embeds.numpy()) for one in (before, after))
    ways = [j[part] - i[part] for part in (0, 1)]
    lengths = np.linalg.norm(ways[0], axis=1) * np.linalg.norm(ways[1], axis=1)
    expected = (ways[0] * ways[1]).sum(1) / lengths
    assert clip.direction(y, x, other, own).numpy() == pytest.approx(expected, abs=1e-5)


def test_distance_is_zero_for_equal_pictures_and_grows(clip):
    x = pictures(CATS)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    assert clip.distance(x, x).abs().max() == 0
    little, much = clip.distance(x, x + 0.05 * noise), clip.distance(x, x + 0.5 * noise)
    assert (little > 0).all() and (little < much).all()
    torch.testing.assert_close(little, clip.distance(x + 0.05 * noise, x))


def test_the_frechet_distance_is_that_of_two_gaussians(clip):
    """|m - n|^2 + tr(S + T - 2 (S T)^(1/2)), computed here by eigenvalues."""
    x, y = pictures(scenes("val", 160)), pictures(scenes("val", 160, start=160))
    from i2i_dds.metrics.clip import _Features

    features = [
        _Features(clip)(((p + 1) * 127.5).round().to(torch.uint8)).double().numpy() for p in (x, y)
    ]
    (m, n), (s, t) = [f.mean(0) for f in features], [np.cov(f.T) for f in features]
    root = np.sqrt(np.linalg.eigvals(s @ t).astype(complex)).sum().real
    expected = ((m - n) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * root
    assert clip.frechet(x, y) == pytest.approx(expected, rel=1e-3)
    assert clip.frechet(x, x) == pytest.approx(0, abs=1e-2)
    grey = x.mean(1, keepdim=True).expand_as(x)
    assert clip.frechet(grey, y) > 2 * clip.frechet(x, y)


def test_a_folder_without_a_clip_is_refused(tmp_path):
    with pytest.raises(UserError, match="clip: .* holds no CLIP; give pocket"):
        Clip.load(tmp_path)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("preprocessor_config.json", {"image_mean": [0.5, 0.5, 10**400]}, "has image_mean"),
        ("preprocessor_config.json", {"image_std": [0.5, 0.5, 0]}, "has image_std"),
        ("tokenizer_config.json", {"pad_token": None}, "without a token to pad with"),
    ],
)
def test_a_clip_whose_numbers_or_marks_are_none_is_refused(tmp_path, file, changes, message):
    folder = tmp_path / "clip"
    shutil.copytree(directory() / "clip", folder)
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError, match=f"clip: .*{message}"):
        Clip.load(folder)
