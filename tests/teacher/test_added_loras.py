"""LoRA weights added to a teacher when it is loaded."""

import diffusers
import pytest
import torch
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import load_file, save_file

from i2i_dds import load_teacher
from i2i_dds.errors import UserError
from i2i_dds.teacher.added_loras import parse_lora
from i2i_dds.teacher.aura_flow import build_random_aura_flow
from i2i_dds.teacher.families import families
from i2i_dds.teacher.fingerprint import fingerprint
from i2i_dds.teacher.flux2_klein import build_random_flux2_klein
from i2i_dds.teacher.random_flux import build_random_flux

RANK, ALPHA = 2, 4


@pytest.fixture(scope="session")
def tiny_flux_folder(tmp_path_factory):
    return build_random_flux(tmp_path_factory.mktemp("flux") / "tiny", "tiny")


@pytest.fixture(scope="session")
def tiny_flux2_klein_folder(tmp_path_factory):
    return build_random_flux2_klein(tmp_path_factory.mktemp("flux2_klein") / "tiny")


@pytest.fixture(scope="session")
def tiny_aura_flow_folder(tmp_path_factory):
    return build_random_aura_flow(tmp_path_factory.mktemp("aura_flow") / "tiny")


@pytest.fixture(params=["sd", "sdxl", "sd3", "flux", "flux2_klein", "aura_flow"])
def folder(request):
    name = {"sd": "tiny_folder"}.get(request.param, f"tiny_{request.param}_folder")
    return str(request.getfixturevalue(name))


def adapted(network, targets):
    """Random adapter weights of a network, which is of no use afterwards."""
    generator = torch.Generator().manual_seed(1)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets)
    inject_adapter_in_model(config, network, "a")
    state = get_peft_model_state_dict(network, adapter_name="a")
    return {name: torch.randn(t.shape, generator=generator) / 10 for name, t in state.items()}


def write_lora(teacher, path, text=False):
    """A LoRA of a teacher's family as diffusers writes it; what it adds, by the weight's name."""
    kind = getattr(diffusers, families()[teacher.choice].pipelines[0])
    network = "unet" if hasattr(teacher.network, "up_blocks") else "transformer"
    state = adapted(teacher.network, ["to_q", "to_v"])
    layers = {f"{network}_lora_layers": convert_state_dict_to_diffusers(state)}
    if text:
        encoder = adapted(teacher.text_encoders[0], ["q_proj"])
        layers["text_encoder_lora_layers"] = convert_state_dict_to_diffusers(encoder)
    metadata = {
        name.replace("lora_layers", "lora_adapter_metadata"): {
            "r": RANK,
            "lora_alpha": ALPHA,
            "target_modules": ["q_proj"] if "text" in name else ["to_q", "to_v"],
        }
        for name in layers
    }
    kind.save_lora_weights(path.parent, weight_name=path.name, **layers, **metadata)
    return {
        name.replace("lora_A.", ""): ALPHA / RANK * (state[name.replace("lora_A", "lora_B")] @ a)
        for name, a in state.items()
        if "lora_A" in name
    }


def test_each_weight_gains_the_product_of_its_matrices_times_the_scale(folder, tmp_path):
    teacher, file = load_teacher(folder), tmp_path / "a.safetensors"
    added = write_lora(load_teacher(folder), file)
    changed = load_teacher(folder, lora=[f"{file}:0.5"]).network.state_dict()
    before = teacher.network.state_dict()
    assert added
    assert before.keys() == changed.keys()  # nothing of the adapter is left
    for name, weight in before.items():
        gain = 0.5 * added[name] if name in added else torch.zeros(())
        torch.testing.assert_close(changed[name], weight + gain, atol=1e-6, rtol=1e-5)


def test_scale_0_changes_no_bit_and_any_other_changes_the_fingerprint(folder, tmp_path):
    file = tmp_path / "a.safetensors"
    write_lora(load_teacher(folder), file)
    plain = load_teacher(folder)
    none, some = (load_teacher(folder, lora=f"{file}{end}") for end in (":0", ""))
    for name, weight in plain.network.state_dict().items():
        assert torch.equal(none.network.state_dict()[name], weight)
    assert fingerprint(none) == fingerprint(plain) != fingerprint(some)


def test_two_add_up(tiny_folder, tmp_path):
    file = tmp_path / "a.safetensors"
    write_lora(load_teacher(str(tiny_folder)), file)
    twice = load_teacher(str(tiny_folder), lora=[f"{file}:0.25", f"{file}:0.5"]).unet.state_dict()
    once = load_teacher(str(tiny_folder), lora=f"{file}:0.75").unet.state_dict()
    assert all(torch.allclose(twice[name], once[name], atol=1e-6) for name in once)


def test_what_the_text_encoder_learned_is_added_too(tiny_folder, tmp_path):
    file = tmp_path / "a.safetensors"
    write_lora(load_teacher(str(tiny_folder)), file, text=True)
    plain, changed = (load_teacher(str(tiny_folder), lora=lora) for lora in (None, str(file)))
    assert not torch.equal(*(one.embed(["a cat"]).embeddings for one in (plain, changed)))
    names = [set(one.text_encoder.state_dict()) for one in (plain, changed)]
    assert names[0] == names[1]


def test_a_lora_of_another_family_is_refused(
    tiny_folder, tiny_sdxl_folder, tiny_sd3_folder, tmp_path
):
    file = tmp_path / "a.safetensors"
    for folder, others in (
        (tiny_folder, (tiny_sd3_folder, tiny_sdxl_folder)),
        (tiny_sd3_folder, (tiny_folder,)),
        (tiny_sdxl_folder, (tiny_folder, tiny_sd3_folder)),
    ):
        write_lora(load_teacher(str(folder)), file)
        for other in others:
            with pytest.raises(UserError, match=r"^lora: '.*; give a LoRA of the teacher's own"):
                load_teacher(str(other), lora=str(file))


def test_a_layer_that_fits_nothing_is_refused(tiny_folder, tmp_path):
    file = tmp_path / "a.safetensors"
    write_lora(load_teacher(str(tiny_folder)), file)
    weights = load_file(file)
    more = {f"unet.down_blocks.7.to_q.lora_{half}.weight": torch.ones(2, 2) for half in ("A", "B")}
    save_file({**weights, **more}, file)
    with pytest.raises(UserError, match="^lora: "):
        load_teacher(str(tiny_folder), lora=str(file))


def test_what_is_no_lora_is_refused(tiny_folder, tmp_path):
    def refuses(message, lora):
        with pytest.raises(UserError, match=message):
            load_teacher(str(tiny_folder), lora=lora)

    refuses("^lora: 'none.safetensors' is no file", "none.safetensors:0.5")
    refuses("^lora: nan is not allowed; give a number", "a.safetensors:strong")
    refuses("^lora: 3 is not allowed", 3)
    torch.save({}, tmp_path / "a.pt")
    refuses("^lora: '.*' is a pickle", str(tmp_path / "a.pt"))
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    refuses("^lora: '.*; give a LoRA of", str(tmp_path / "a.safetensors"))


@pytest.mark.parametrize(
    ("entry", "path", "scale"),
    [
        ("a.safetensors", "a.safetensors", 1.0),
        ("a.safetensors:0.5", "a.safetensors", 0.5),
        ("/b:c/a.safetensors", "/b:c/a.safetensors", 1.0),
        ("a.safetensors:-1", "a.safetensors", -1.0),
    ],
)
def test_a_scale_stands_behind_the_last_colon(entry, path, scale):
    assert parse_lora(entry) == (path, scale)
