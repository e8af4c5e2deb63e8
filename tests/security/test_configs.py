"""No config from outside names code that is then called, or asks for what no machine has.

What a person types is another matter: `_target_` in `conf/` or on the command line is theirs, see
SECURITY.md. Kernels of the hub: `tests/teacher/test_checkpoint.py`.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import ViTConfig, ViTModel

from i2i_dds.errors import UserError
from i2i_dds.evaluation.measure import load_judge
from i2i_dds.metrics.clip import Clip
from i2i_dds.metrics.structure import StructureDistance
from i2i_dds.pocket import directory
from i2i_dds.student.load import load_student
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.random_sd3 import build_random_sd3
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher

CALL = {"_target_": "pathlib.Path.touch", "_args_": ["ran"]}


def edit_json(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder with a module of the attacker's, which must not be imported, nor the call made."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / "ran").exists() and "evil" not in sys.modules


def evil_module(folder: Path) -> None:
    lines = "import pathlib\npathlib.Path('ran').touch()\nclass Evil: pass\n"
    (folder / "evil.py").write_text(lines)


CONFIGS = (
    *("model_index.json", "scheduler/scheduler_config.json", "unet/config.json"),
    *("vae/config.json", "text_encoder/config.json", "tokenizer/tokenizer_config.json"),
)
AUTO_MAP = {
    name: "evil.Evil" for name in ("AutoConfig", "AutoModel", "AutoTokenizer", "CLIPTextModel")
}


@pytest.mark.parametrize("file", CONFIGS)
def test_code_named_by_a_teachers_config_is_not_called(copy: Path, file: str) -> None:
    evil_module((copy / file).parent)
    plain = StableDiffusionTeacher.load(str(copy), device="cpu").embed(["a cat"])
    edit_json(copy / file, **CALL, auto_map=AUTO_MAP, trust_remote_code=True, custom=CALL)
    found = StableDiffusionTeacher.load(str(copy), device="cpu").embed(["a cat"])
    assert torch.equal(found.embeddings, plain.embeddings)


def test_a_pipelines_own_classes_are_not_looked_for(copy: Path) -> None:
    evil_module(copy)
    evil_module(copy / "unet")
    edit_json(copy / "model_index.json", unet=["evil", "Evil"], vae=["os", "system"])
    assert StableDiffusionTeacher.load(str(copy), device="cpu").latent_channels == 4
    for odd in (5, [], [None], {}, "a"):
        edit_json(copy / "model_index.json", text_encoder_2=odd, tokenizer=odd)
        assert StableDiffusionTeacher.load(str(copy), device="cpu").latent_channels == 4
    edit_json(copy / "model_index.json", _class_name=["evil", "Evil"])
    with pytest.raises(UserError, match=r"^path: .* is a \['evil', 'Evil'\]; give a Stable"):
        StableDiffusionTeacher.load(str(copy), device="cpu")


def test_nobody_is_asked_to_trust_a_tokenizers_code(tmp_path: Path, monkeypatch) -> None:
    """Transformers would ask at the terminal, and run it at a yes."""
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "y")
    folder = build_random_sd3(tmp_path / "sd3", "tiny", t5=True)
    evil_module(folder / "tokenizer_3")
    auto_map = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    config = folder / "tokenizer_3" / "tokenizer_config.json"
    edit_json(config, tokenizer_class="EvilTokenizer", auto_map=auto_map)
    with pytest.raises(UserError, match="^path: tokenizer_3 of .* cannot be read"):
        StableDiffusion3Teacher.load(str(folder), device="cpu")
    assert asked == []


KERNELS = {"_attn_implementation": "evil/kernels"}


def test_kernels_that_a_t5_names_are_not_fetched(tmp_path: Path) -> None:
    folder = build_random_sd3(tmp_path / "sd3", "tiny", t5=True)
    edit_json(folder / "text_encoder_3" / "config.json", **KERNELS)
    found = StableDiffusion3Teacher.load(str(folder), device="cpu").text_encoders[2]
    assert found.config._attn_implementation == "sdpa"


def test_of_a_vit_neither_kernels_are_fetched_nor_sizes_believed(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "image_size": 32, "patch_size": 8}
    config = ViTConfig(num_hidden_layers=1, num_attention_heads=2, **sizes)
    ViTModel(config).save_pretrained(tmp_path / "vit")
    edit_json(tmp_path / "vit" / "config.json", **KERNELS)
    found = StructureDistance.load(str(tmp_path / "vit"))
    assert found.model.config._attn_implementation == "sdpa"
    for odd in ({"num_hidden_layers": 10**9}, {"hidden_act": 5}, {"num_attention_heads": 0}):
        edit_json(tmp_path / "vit" / "config.json", **odd)
        with pytest.raises(UserError, match=r"^structure: '.*' holds no ViT \("):
            StructureDistance.load(str(tmp_path / "vit"))


def test_code_named_by_other_models_is_not_called(
    tmp_path: Path, judge, student: Callable[..., Any]
) -> None:
    for file in (directory() / "clip").iterdir():
        (tmp_path / "clip").mkdir(exist_ok=True)
        (tmp_path / "clip" / file.name).write_bytes(file.read_bytes())
    judge.save_pretrained(tmp_path / "judge")
    student().save_pretrained(tmp_path / "student")
    for name, read in (("clip", Clip.load), ("judge", load_judge), ("student", load_student)):
        evil_module(tmp_path / name)
        read(tmp_path / name)
        edit_json(tmp_path / name / "config.json", auto_map=AUTO_MAP, trust_remote_code=True)
        read(tmp_path / name)


@pytest.mark.parametrize("place", ["", "tasks", "unet", "conditioning"])
def test_a_call_in_a_checkpoints_config_is_not_made(
    tmp_path: Path, content: dict[str, Any], place: str
) -> None:
    config = content["hyper_parameters"]["student"]
    if place == "":
        config |= CALL
    elif place == "tasks":
        config["tasks"][0] |= CALL
    elif place == "unet":
        config["unet"] = {**config["unet"], "act_fn": CALL}
    else:
        config[place] = CALL
    torch.save(content, tmp_path / "a.ckpt")
    if place == "":  # a key that begins with _ is none of diffusers' arguments
        load_student(tmp_path / "a.ckpt")
        return
    with pytest.raises(UserError):
        load_student(tmp_path / "a.ckpt")


def test_a_call_in_a_task_is_not_made(tmp_path: Path, typed, cat: Path) -> None:
    with pytest.raises(UserError, match="task.tasks.a._target_: unknown key"):
        TaskSet.from_mapping({"tasks": {"a": {"replace": {"a": "b"}, **CALL}}})
    with pytest.raises(UserError, match="task.tasks.a.append: .* is no text"):
        TaskSet.from_mapping({"tasks": {"a": {"append": CALL}}})
    with pytest.raises(UserError, match="task._target_: unknown key"):
        TaskSet.from_mapping({"tasks": {}, **CALL})
    from i2i_dds.cli.edit import main

    for given in ("+task.tasks.cat2lion._target_=os.getcwd", "+task._target_=os.getcwd"):
        done = typed(main, "task=cat2lion", given, "n=1", "steps=1")
        assert done.code == 2 and "_target_: unknown key" in done.sentence, done


CALLED = "{_target_: pathlib.Path.touch, _args_: [ran]}"


@pytest.mark.parametrize("key", ["prompt.target", "image", "mask", "out", "judge", "seed", "n"])
def test_a_call_typed_as_a_value_is_a_text_or_refused(typed, cat: Path, key: str) -> None:
    from i2i_dds.cli.edit import main

    given = {"image": "cat.png", "prompt.target": "a lion", "steps": "1", key: CALLED}
    done = typed(main, *(f"{name}={value}" for name, value in given.items()))
    if key in ("prompt.target", "out"):
        result = json.loads((done.folder / "result.json").read_text())
        assert key == "out" or result["items"][0]["target"] == CALLED
    else:
        assert done.code in (0, 2) and "Traceback" not in done.err


def test_yaml_of_a_task_makes_no_objects(tmp_path: Path) -> None:
    text = "tasks: {a: {append: !!python/object/apply:pathlib.Path.touch [ran]}}"
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(yaml.YAMLError, match="python/object"):
        yaml.safe_load(text)
