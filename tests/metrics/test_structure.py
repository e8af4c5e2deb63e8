"""The structure distance of a tiny ViT, computed a second time by hand."""

import json
import shutil

import pytest
import torch
import torch.nn.functional as F
from transformers import ViTConfig, ViTModel

from i2i_dds.errors import UserError
from i2i_dds.metrics.structure import StructureDistance
from i2i_dds.pocket import directory


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(1)
    config = ViTConfig(
        hidden_size=12, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16,
        image_size=224, patch_size=56, initializer_range=0.5,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("vit")
    ViTModel(config, add_pooling_layer=False).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def measure(folder):
    return StructureDistance.load(str(folder))


def pictures(n: int = 2, side: int = 40) -> torch.Tensor:
    return torch.rand(n, 3, side, side) * 2 - 1


def by_hand(model, x: torch.Tensor, peak: float) -> torch.Tensor:
    """Cosines of the last layer's keys, from the hidden states that enter it."""
    x = F.interpolate((x + 1) / 2 * peak, (224, 224), mode="bilinear", align_corners=False)
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        x[:, channel] = (x[:, channel] - mean) / std
    entering = model(x, output_hidden_states=True).hidden_states[-2]
    assert entering.shape == (len(x), 17, 12)  # 4 x 4 patches and the class token
    last = [layer for layer in model.modules() if type(layer).__name__ == "ViTLayer"][-1]
    named = dict(last.named_parameters())
    (weight,) = (v for k, v in named.items() if k.endswith(("k_proj.weight", "key.weight")))
    (bias,) = (v for k, v in named.items() if k.endswith(("k_proj.bias", "key.bias")))
    keys = last.layernorm_before(entering) @ weight.T + bias
    cosine = torch.empty(len(x), 17, 17)
    for i in range(17):
        for j in range(17):
            cosine[:, i, j] = F.cosine_similarity(keys[:, i], keys[:, j])
    return cosine


@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_the_distance_is_that_of_the_last_layers_keys(measure, peak):
    x, y = pictures(), pictures()
    ours = measure.self_similarity(x, peak)
    torch.testing.assert_close(ours, by_hand(measure.model, x, peak), atol=1e-5, rtol=0)
    squared = (by_hand(measure.model, x, peak) - by_hand(measure.model, y, peak)) ** 2
    expected = squared.sum((1, 2)) / 17**2
    assert expected.min() > 1e-4
    torch.testing.assert_close(measure(x, y, peak), expected, atol=1e-6, rtol=1e-4)


def test_equal_pictures_have_none_and_the_order_does_not_matter(measure):
    x, y = pictures(), pictures()
    assert measure(x, x).tolist() == [0, 0]
    assert torch.equal(measure(x, y), measure(y, x))
    small = F.interpolate(pictures(), (30, 20))
    assert measure(x, small).shape == (2,)


def test_published_vits_of_another_size_are_taken(folder):
    config = ViTConfig.from_pretrained(folder, image_size=112)
    model = ViTModel(config, add_pooling_layer=False)
    assert StructureDistance(model).self_similarity(pictures(1)).shape == (1, 17, 17)


def test_nothing_is_left_on_the_network(measure):
    before = [len(module._forward_hooks) for module in measure.model.modules()]
    measure.self_similarity(pictures(1))
    assert [len(module._forward_hooks) for module in measure.model.modules()] == before
    assert not any(value.requires_grad for value in measure.model.parameters())


def test_a_hub_id_that_is_not_here_says_what_to_download():
    for only_here in (True, False):  # tests are offline
        with pytest.raises(UserError, match=r"^structure: .*not on this machine.*hf download face"):
            StructureDistance.load(local_files_only=only_here)


def test_a_folder_without_a_whole_vit_is_refused(folder, tmp_path):
    message = r"^structure: .*holds no ViT.*hf download facebook/dino-vitb8 .*give its path"
    without = shutil.copytree(folder, tmp_path / "without")
    (without / "model.safetensors").unlink()
    cut = shutil.copytree(folder, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:-9])
    deeper = shutil.copytree(folder, tmp_path / "deeper")
    about = json.loads((deeper / "config.json").read_text())
    (deeper / "config.json").write_text(json.dumps({**about, "num_hidden_layers": 4}))
    wider = shutil.copytree(folder, tmp_path / "wider")
    (wider / "config.json").write_text(json.dumps({**about, "hidden_size": 24}))
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "config.json").write_text("{")
    other = directory() / "clip"
    for path in (tmp_path, tmp_path / "nowhere", without, cut, deeper, wider, damaged, other):
        with pytest.raises(UserError, match=message) as error:
            StructureDistance.load(str(path))
        assert "\n" not in str(error.value)
