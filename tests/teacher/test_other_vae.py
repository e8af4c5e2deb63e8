"""Another autoencoder in the place of a teacher's own."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

from i2i_dds import load_teacher
from i2i_dds.errors import UserError
from i2i_dds.teacher.fingerprint import fingerprint
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from tests.teacher.single_files import sd_file, vae_names, weights_of


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    """A folder of the same shape and other weights."""
    return build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "b", "tiny", seed=1)


def check(teacher, other, plain):
    theirs, own = (load_teacher(str(one)) for one in (other, plain))
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(teacher.encode(x), theirs.encode(x))
    assert not torch.equal(teacher.encode(x), own.encode(x))
    names = own.network.state_dict()
    assert all(torch.equal(teacher.network.state_dict()[name], names[name]) for name in names)
    assert fingerprint(teacher) != fingerprint(own)


def test_it_is_read_from_its_folder_or_that_of_a_whole_model(tiny_folder, other):
    for path in (other, other / "vae"):
        check(load_teacher(str(tiny_folder), vae=str(path)), other, tiny_folder)


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_it_is_read_from_a_single_file(prefix, tiny_folder, other, tmp_path):
    named = vae_names(weights_of(other, "vae"), 3)
    file = tmp_path / "vae.safetensors"
    save_file({prefix + name: t.contiguous() for name, t in named.items()}, file)
    check(load_teacher(str(tiny_folder), vae=str(file)), other, tiny_folder)


def test_it_goes_with_a_single_file(tiny_folder, other, tmp_path):
    file = sd_file(tiny_folder, tmp_path / "model.safetensors")
    teacher = load_teacher(str(file), config=str(tiny_folder), vae=str(other))
    check(teacher, other, tiny_folder)


def test_latents_of_another_make_are_refused(tiny_folder, tiny_sd3_folder, other, tmp_path):
    def refuses(message, vae):
        with pytest.raises(UserError, match=message):
            load_teacher(str(tiny_folder), vae=str(vae))

    refuses("^vae: '.*' has latent_channels 16 and the teacher's own has 4", tiny_sd3_folder)
    copy = shutil.copytree(other / "vae", tmp_path / "vae")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "scaling_factor": 0.13025}))
    refuses("has scaling_factor 0.13025 and the teacher's own has 0.18215", copy)
    shallow = {**config, "block_out_channels": [8, 16]}
    for side in ("down", "up"):
        shallow[f"{side}_block_types"] = config[f"{side}_block_types"][:2]
    AutoencoderKL.from_config(shallow).save_pretrained(tmp_path / "shallow")
    refuses("has pixels per latent cell 2 and the teacher's own has 4", tmp_path / "shallow")


def test_what_is_no_autoencoder_is_refused(tiny_folder, tmp_path):
    for path, message in (
        (tmp_path, "^vae: '.*' cannot be read"),
        ("nowhere", "^vae: 'nowhere' is no folder"),
        ("nobody/no-such-vae", "^vae: 'nobody/no-such-vae' cannot be read .*hf download"),
        (7, "^vae: 7 is not allowed; give a text"),
    ):
        with pytest.raises(UserError, match=message):
            vae = path if isinstance(path, int) else str(path)
            load_teacher(str(tiny_folder), vae=vae, local_files_only=True)
