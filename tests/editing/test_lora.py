import json
import logging
import math
from dataclasses import replace

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

import i2i_dds.editing.lora_cache as lora_cache
from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.lora import LoraSettings, noise_error, train_lora
from i2i_dds.editing.lora_cache import lora_for, save_lora
from i2i_dds.editing.lora_teacher import CosineScale, LoraTeacher
from i2i_dds.editing.sde import cycle, forward_path
from i2i_dds.errors import UserError
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

PROMPT = "a cat"
SETTINGS = LoraSettings(rank=2, steps=6, lr=1e-2, batch_size=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")


@pytest.fixture(scope="module")
def x():
    return randn(item_generators(3, [0]), (3, 32, 32))[0].clamp(-1, 1)


@pytest.fixture(scope="module")
def trained(tiny, x):
    return train_lora(tiny, tiny.encode(x[None]), tiny.embed([PROMPT]), SETTINGS)


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("lora") / "cat.safetensors"
    save_lora(trained, SETTINGS, path)
    return path


@pytest.fixture
def question(tiny):
    """Four rows of noisy latents, one timestep, one prompt."""
    return randn(item_generators(5, range(4)), (4, 8, 8)), torch.full((4,), 400), PROMPT


def ask(teacher, question):
    z_t, t, prompt = question
    return teacher.predict_noise(z_t, t, teacher.embed([prompt]).expand(len(z_t)))


def test_the_teacher_is_untouched_by_a_training(tiny, x, question) -> None:
    state = {name: w.clone() for name, w in tiny.unet.state_dict().items()}
    before, random = ask(tiny, question), torch.get_rng_state()
    train_lora(tiny, tiny.encode(x[None]), tiny.embed([PROMPT]), replace(SETTINGS, steps=2))
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(ask(tiny, question), before)
    after = tiny.unet.state_dict()
    assert list(after) == list(state)
    assert all(torch.equal(after[name], w) for name, w in state.items())
    assert not any(p.requires_grad for p in tiny.unet.parameters())


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_loss_falls(tmp_path, x, prediction) -> None:
    sd = build_random_stable_diffusion(tmp_path / "sd", "tiny", prediction)
    teacher = StableDiffusionTeacher.load(str(sd), device="cpu")
    z, text = teacher.encode(x[None]), teacher.embed([PROMPT])
    made = train_lora(teacher, z, text, replace(SETTINGS, steps=20))
    save_lora(made, SETTINGS, tmp_path / "a.safetensors")
    before = noise_error(teacher, z, text, draws=8)
    with LoraTeacher(teacher, tmp_path / "a.safetensors") as learned:
        assert noise_error(learned, z, text, draws=8) < 0.97 * before
    assert noise_error(teacher, z, text, draws=8) == before


def test_the_loss_is_the_target_of_the_networks_own_kind(tiny, x) -> None:
    z, text = tiny.encode(x[None]), tiny.embed([PROMPT])
    t, eps = torch.tensor([300]), randn(item_generators(0, [0]), z.shape[1:])
    predicted = tiny.predict_noise(tiny.process.mix(z, eps, t), t, text)
    expected = (predicted - eps).square().mean()
    assert tiny.training_loss(z, text, t, eps).item() == pytest.approx(expected.item())


def test_gradients_reach_the_adapter_alone(tiny, x) -> None:
    seen = []

    def look(done) -> None:
        grown = {n: p.grad for n, p in tiny.unet.named_parameters() if p.grad is not None}
        learning = {n for n, p in tiny.unet.named_parameters() if p.requires_grad}
        assert set(grown) == learning and all(".lora_" in name for name in learning)
        assert all(p.dtype == torch.float32 for p in grown.values())
        seen.append((done.step, done.steps, done.loss, len(learning)))

    made = train_lora(tiny, tiny.encode(x[None]), tiny.embed([PROMPT]), SETTINGS, look)
    assert [step[:2] for step in seen] == [(i, 6) for i in range(6)]
    assert tuple(step[2] for step in seen) == made.losses
    # to_q, to_k, to_v and to_out.0, an A and a B each, of every attention layer
    attentions = [n for n, _ in tiny.unet.named_modules() if n.endswith(("attn1", "attn2"))]
    assert seen[0][3] == len(made.weights) == len(attentions) * 4 * 2


def test_the_seed_decides(tiny, x, trained) -> None:
    z, text = tiny.encode(x[None]), tiny.embed([PROMPT])
    torch.manual_seed(99)
    with torch.inference_mode():  # as inside Lightning's validation
        again = train_lora(tiny, z, text, SETTINGS)
    assert again.losses == trained.losses
    assert all(torch.equal(w, trained.weights[name]) for name, w in again.weights.items())
    assert train_lora(tiny, z, text, replace(SETTINGS, seed=1)).losses != trained.losses


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_types_keep_the_adapter_in_float32_or_more(folder, tmp_path, x, dtype) -> None:
    teacher = StableDiffusionTeacher.load(str(folder), device="cpu", dtype=dtype)
    z, text = teacher.encode(x[None]), teacher.embed([PROMPT])
    made = train_lora(teacher, z, text, replace(SETTINGS, steps=3))
    assert all(w.dtype == torch.float32 for w in made.weights.values())
    assert all(w.abs().max() > 0 for name, w in made.weights.items() if "lora_B" in name)
    save_lora(made, SETTINGS, tmp_path / "a.safetensors")
    with LoraTeacher(teacher, tmp_path / "a.safetensors") as learned:
        state = {n: p for n, p in teacher.unet.named_parameters() if ".lora_" in n}
        for name, weight in made.weights.items():
            assert torch.equal(state[name.replace(".weight", ".lora.weight")].float(), weight)
        assert noise_error(learned, z, text, draws=2) != noise_error(teacher, z, text, draws=2)


def test_the_plain_teacher_answers_plainly_beside_it(tiny, file, question) -> None:
    plain = ask(tiny, question)
    learned = LoraTeacher(tiny, file)
    assert isinstance(learned, Teacher)
    adapted = ask(learned, question)
    assert not torch.allclose(adapted, plain, atol=1e-4)
    assert torch.equal(ask(tiny, question), plain)
    learned.close()
    assert torch.equal(ask(learned, question), plain)
    assert not any("lora" in name or "base_layer" in name for name in tiny.unet.state_dict())


def test_scale_zero_is_the_plain_teacher(tiny, file, question) -> None:
    with LoraTeacher(tiny, file, scale=0.0) as learned:
        assert torch.equal(ask(learned, question), ask(tiny, question))


def test_each_row_has_the_scale_of_its_timestep(tiny, file, question) -> None:
    z_t, _, prompt = question
    t = torch.tensor([700, 20, 700, 300])
    with LoraTeacher(tiny, file, scale=lambda t: t / 500) as learned:
        rows = ask(learned, (z_t, t, prompt))
        for i in range(4):
            learned.scale = t[i].item() / 500
            (alone,) = ask(learned, (z_t[i : i + 1], t[i : i + 1], prompt))
            torch.testing.assert_close(rows[i], alone, atol=1e-5, rtol=1e-5)
        learned.scale = 1.0
        assert not torch.allclose(ask(learned, (z_t, t, prompt)), rows, atol=1e-4)


def test_one_scale_is_one_forward_pass(tiny, file, question, monkeypatch) -> None:
    calls = []
    forward = tiny.unet.forward
    monkeypatch.setattr(
        tiny.unet, "forward", lambda *a, **k: (calls.append(1), forward(*a, **k))[1]
    )
    z_t, _, prompt = question
    with LoraTeacher(tiny, file, scale=CosineScale()) as learned:
        count = learned.nfe
        ask(learned, (z_t, torch.tensor([700, 800, 900, 700]), prompt))  # all beyond t_end
        assert len(calls) == 1 and learned.nfe == count + 4
        ask(learned, (z_t, torch.tensor([0, 100, 0, 100]), prompt))
        assert len(calls) == 3 and learned.nfe == count + 8


def test_cycle_sde_returns_the_source_to_the_bit(tiny, file, x) -> None:
    z, text = tiny.encode(x[None]), tiny.embed([PROMPT])
    pairs = tiny.process.pairs(4, 0.75)
    path = forward_path(tiny.process, z, pairs, item_generators(0, [0]))
    with LoraTeacher(tiny, file, CosineScale()) as learned:
        *_, last = cycle(learned, path[0], path, text, text, pairs, guidance_scale=3.0)
    assert torch.equal(last.y, z)


def test_cosine_scale_falls_from_the_clean_end() -> None:
    scale = CosineScale(high=1.0, low=0.5, t_end=600)
    assert scale(0) == 1.0 and scale(-1) == 1.0
    assert scale(300) == pytest.approx(0.75)
    assert scale(200) == pytest.approx(0.5 + 0.5 * (1 + math.cos(math.pi / 3)) / 2)  # 0.875
    assert scale(600) == scale(999) == pytest.approx(0.5)


def test_a_diffusers_pipeline_loads_the_file(tiny, folder, file, question) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipe.load_lora_weights(str(file.parent), weight_name=file.name)
    z_t, t, prompt = question
    text = tiny.embed([prompt]).expand(len(z_t))
    with LoraTeacher(tiny, file) as learned, torch.no_grad():
        theirs = pipe.unet(z_t, t, encoder_hidden_states=text.embeddings).sample
        assert torch.equal(ask(learned, question), theirs)
    with LoraTeacher(tiny, file, scale=0.5) as learned, torch.no_grad():
        pipe.set_adapters(pipe.get_active_adapters(), 0.5)
        theirs = pipe.unet(z_t, t, encoder_hidden_states=text.embeddings).sample
        torch.testing.assert_close(ask(learned, question), theirs, atol=1e-6, rtol=1e-5)


def test_alpha_travels_in_the_file(tiny, trained, file, question, tmp_path) -> None:
    save_lora(trained, replace(SETTINGS, alpha=1.0), tmp_path / "half.safetensors")
    with LoraTeacher(tiny, tmp_path / "half.safetensors") as learned:
        half = ask(learned, question)
    with LoraTeacher(tiny, file, scale=0.5) as learned:
        torch.testing.assert_close(ask(learned, question), half, atol=1e-6, rtol=1e-5)


def test_a_lora_is_trained_once_and_reused(tiny, x, trained, tmp_path, caplog, monkeypatch) -> None:
    steps = []
    first = lora_for(tiny, x, PROMPT, SETTINGS, tmp_path / "loras", steps.append)
    assert not first.reused and len(steps) == 6 and first.losses == trained.losses
    names = {path.name for path in (tmp_path / "loras").iterdir()}
    assert names == {first.file.name, first.file.with_suffix(".json").name}
    about = json.loads(first.file.with_suffix(".json").read_text())
    assert about["prompt"] == PROMPT and about["rank"] == 2 and about["seconds"] > 0

    monkeypatch.setattr(lora_cache, "train_lora", None)
    with caplog.at_level(logging.INFO):
        second = lora_for(tiny, x.clone(), PROMPT, SETTINGS, tmp_path / "loras")
    assert second == replace(first, reused=True)
    assert "reusing" in caplog.text


def test_another_picture_prompt_setting_or_teacher_is_another_lora(
    tiny, x, trained, tmp_path, folder, monkeypatch
) -> None:
    def name(teacher=tiny, x=x, prompt=PROMPT, **changed) -> str:
        settings = replace(SETTINGS, **changed)
        return lora_for(teacher, x, prompt, settings, tmp_path).file.name

    calls = []
    monkeypatch.setattr(lora_cache, "train_lora", lambda *_: (calls.append(1), trained)[1])
    moved = StableDiffusionTeacher.load(str(folder), device="cpu")
    moved.unet.get_parameter("conv_out.weight").add_(1e-3)
    nudged = x.clone()
    nudged[0, 0, 0] += 1 / 255
    names = [name(), name(x=nudged), name(prompt="a dog"), name(rank=3), name(lr=0.5)]
    names += [name(teacher=moved), name(alpha=2.0)]  # the last is what alpha=None means
    assert len(calls) == len(set(names)) == 6 and names[-1] == names[0]


@pytest.mark.parametrize("damage", ["cut", "words"])
def test_a_broken_lora_is_trained_again(tiny, x, tmp_path, caplog, damage) -> None:
    first = lora_for(tiny, x, PROMPT, SETTINGS, tmp_path)
    whole = {name: w.clone() for name, w in load_file(first.file).items()}  # not a map of it
    if damage == "cut":
        first.file.write_bytes(first.file.read_bytes()[:1000])
    else:
        first.file.with_suffix(".json").unlink()
    again = lora_for(tiny, x, PROMPT, SETTINGS, tmp_path)
    assert not again.reused and again.file == first.file
    for name, weight in load_file(first.file).items():
        assert torch.equal(weight, whole[name])
    assert "is broken" in caplog.text and "training it again" in caplog.text


def test_what_is_interrupted_leaves_nothing(tiny, x, question, tmp_path, monkeypatch) -> None:
    plain = ask(tiny, question)

    def stop(done) -> None:
        if done.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lora_for(tiny, x, PROMPT, SETTINGS, tmp_path / "loras", stop)
    assert not (tmp_path / "loras").exists()
    assert torch.equal(ask(tiny, question), plain)

    def half(folder, weight_name, **_) -> None:
        (folder / weight_name).write_bytes(b"half a file")
        raise KeyboardInterrupt

    saver = lora_cache.StableDiffusionLoraLoaderMixin
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(saver, "save_lora_weights", half)
        lora_for(tiny, x, PROMPT, SETTINGS, tmp_path / "loras")
    assert not list((tmp_path / "loras").glob("*safetensors*"))
    assert not list((tmp_path / "loras").glob(".*"))
    assert not lora_for(tiny, x, PROMPT, SETTINGS, tmp_path / "loras").reused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank: 0 is not allowed; give a whole number of at least 1"),
        ({"steps": 2.5}, "steps: 2.5 is not allowed; give a whole number of at least 1"),
        ({"batch_size": True}, "batch_size: True is not allowed; give"),
        ({"lr": 0.0}, "lr: 0.0 is not allowed; give a number above 0"),
        ({"alpha": math.nan}, "alpha: nan is not allowed; give a number above 0"),
        ({"targets": "to_q"}, "targets: 'to_q' is not allowed; give a list"),
        ({"targets": []}, r"targets: \[\] is not allowed; give a list"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(UserError, match=message):
        LoraSettings(**settings)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ({"high": -1.0}, "high: -1.0 is not allowed"),
        ({"low": math.inf}, "low: inf is not allowed"),
        ({"t_end": 0}, "t_end: 0 is not allowed"),
    ],
)
def test_scales_are_checked(scale, message) -> None:
    with pytest.raises(UserError, match=message):
        CosineScale(**scale)


def test_teachers_and_files_that_do_not_fit(tiny, analytic, x, file, question, tmp_path) -> None:
    plain = ask(tiny, question)
    z, text = tiny.encode(x[None]), tiny.embed([PROMPT])
    with pytest.raises(UserError, match="a GaussianMixtureTeacher takes no LoRA"):
        train_lora(analytic, z, text, SETTINGS)
    with pytest.raises(UserError, match=r"targets: \['nowhere'\] match no layer"):
        train_lora(tiny, z, text, replace(SETTINGS, targets=("nowhere",)))
    with pytest.raises(UserError, match="lr: the loss is not finite any more at step"):
        train_lora(tiny, z, text, replace(SETTINGS, lr=1e30))
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:500])
    for wrong in ("cut.safetensors", "none.safetensors"):
        with pytest.raises(UserError, match=f"lora: '.*{wrong}' is no LoRA for this teacher"):
            LoraTeacher(tiny, tmp_path / wrong)
    with LoraTeacher(tiny, file), pytest.raises(ValueError, match="has an adapter on already"):
        LoraTeacher(tiny, file)
    assert torch.equal(ask(tiny, question), plain)
    assert not any("lora" in name for name, _ in tiny.unet.named_modules())
