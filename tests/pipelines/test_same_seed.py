"""One seed, one result: to the bit on as many threads, else but for rounding."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from i2i_dds import EditPipeline
from i2i_dds.critters import render, scenes
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.threads import cpu_threads

EDITORS = ["zero_shot", "cycle_sde", "sdedit"]
Edit = Callable[..., tuple[list[torch.Tensor], np.ndarray]]


@pytest.fixture(scope="module", params=["tiny", pytest.param("pocket", marks=pytest.mark.slow)])
def edit(request, tmp_path_factory) -> Edit:
    """Eight cats to lions; the latents, and the pixels in [0, 255]."""
    tiny, path = request.param == "tiny", "pocket"
    if tiny:
        path = str(build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny"))
    pipe = EditPipeline.from_pretrained(path, device="cpu")
    images = [render(one, 32 if tiny else 64) for one in scenes("test", 8, species="cat")]

    def edit(editor: str, threads: int, batch_size: int, seed: int = 0):
        with cpu_threads(threads):
            out = pipe(
                images,
                source="a cat",
                target="a lion",
                editor=editor,
                num_inference_steps=2 if tiny else None,
                batch_size=batch_size,
                seed=seed,
            )
        return list(out.latents), np.stack([np.asarray(image, int) for image in out.images])

    return edit


@pytest.fixture(scope="module")
def pixels(edit: Edit) -> Callable[[str], np.ndarray]:
    """Those of an editor on one thread in one batch."""
    return cache(lambda editor: edit(editor, 1, 8)[1])


@pytest.mark.parametrize("editor", EDITORS)
@pytest.mark.parametrize(("threads", "batch_size"), [(1, 8), (2, 8)])
def test_on_as_many_threads_in_equal_batches_it_is_the_same_to_the_bit(
    edit: Edit, editor: str, threads: int, batch_size: int
) -> None:
    found, again = (edit(editor, threads, batch_size)[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("editor", EDITORS)
@pytest.mark.parametrize(("threads", "batch_size"), [(1, 1), (1, 3), (2, 8)])
def test_threads_and_batches_change_no_pixel_by_more_than_a_level(
    edit: Edit, pixels, editor: str, threads: int, batch_size: int
) -> None:
    one, other = pixels(editor), edit(editor, threads, batch_size)[1]
    assert np.abs(one - other).max() <= 1
    assert np.count_nonzero(one != other) < 1e-3 * one.size


def test_another_seed_is_another_result(edit: Edit, pixels) -> None:
    assert np.abs(pixels("zero_shot") - edit("zero_shot", 1, 8, seed=1)[1]).max() > 1
