import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.teacher.random_weights import (
    SHAPES,
    build_random_stable_diffusion,
    byte_tokenizer,
    text_encoder_from,
    unet_from,
    vae_from,
)
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


@pytest.mark.parametrize(
    ("size", "unet", "text"),
    # As published for runwayml's 1.5 and Stability's 2.1 (text encoder with 23 of 24 layers).
    [("sd15", 859_520_964, 123_060_480), ("sd21", 865_910_724, 340_387_840)],
)
def test_the_full_shapes_have_the_true_number_of_weights(size, unet, text):
    with torch.device("meta"):
        shape = SHAPES[size]
        built = unet_from(shape), vae_from(shape), text_encoder_from(shape, byte_tokenizer())
    counts = [sum(p.numel() for p in network.parameters()) for network in built]
    assert counts == [unet, 83_653_863, text]


def test_tiny_is_tiny(tiny_folder):
    size = sum(file.stat().st_size for file in tiny_folder.rglob("*") if file.is_file())
    assert size < 1.2e6


def test_the_seed_decides_the_weights_and_the_global_state_is_left_alone(tmp_path):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    folders = [
        build_random_stable_diffusion(tmp_path / name, "tiny", seed=seed)
        for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    ]
    assert torch.equal(torch.get_rng_state(), before)
    a, b, c = ((f / "unet/diffusion_pytorch_model.safetensors").read_bytes() for f in folders)
    assert a == b != c


def test_half_precision_and_the_prediction_type_are_written(tmp_path):
    folder = build_random_stable_diffusion(tmp_path / "v", "tiny", "v_prediction", dtype="float16")
    assert StableDiffusionTeacher.load(str(folder)).process.prediction_type == "v_prediction"
    assert (folder / "unet/diffusion_pytorch_model.safetensors").stat().st_size < 500_000


def test_nothing_is_overwritten_and_nothing_left_half_written(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.png").write_bytes(b"x")
    with pytest.raises(UserError, match="holds files already"):
        build_random_stable_diffusion(tmp_path / "mine", "tiny")
    with pytest.raises(UserError, match="prediction_type: 'x0'"):
        build_random_stable_diffusion(tmp_path / "bad", "tiny", prediction_type="x0")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_unknown_size_is_refused(tmp_path):
    with pytest.raises(UserError, match="size: 'sdxl' is unknown; give one of sd15, sd21, tiny"):
        build_random_stable_diffusion(tmp_path / "x", "sdxl")


def test_the_tokenizer_knows_every_byte_and_pads_to_77():
    tokenizer = byte_tokenizer()
    ids = tokenizer("A cat, é 日", padding="max_length").input_ids
    assert len(ids) == 77
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a cat , é 日"
    assert tokenizer.unk_token_id not in tokenizer("naïve 日").input_ids[1:-1]
