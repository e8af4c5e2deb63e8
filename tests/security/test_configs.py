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

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.evaluation.measure import load_judge
from i2i_dds.metrics.clip import Clip
from i2i_dds.pocket import directory
from i2i_dds.student.load import load_student
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.loading import MOST_LAYERS, check_sizes
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


@pytest.mark.parametrize("size", [None, 0, "64", [64, 64]])
def test_a_network_without_a_size_of_its_own_is_refused(copy: Path, size: Any) -> None:
    edit_json(copy / "unet" / "config.json", sample_size=size)
    with pytest.raises(UserError, match="^path: the network's sample_size is "):
        StableDiffusionTeacher.load(str(copy), device="cpu")


SIZES = [
    *(("unet", "layers_per_block", 10**9), ("text_encoder", "num_hidden_layers", 10**9)),
    *(("vae", "layers_per_block", 10**9), ("text_encoder", "vocab_size", 10**12)),
    *(("unet", "block_out_channels", [10**9, 10**9]), ("vae", "sample_size", 10**30)),
    ("text_encoder", "max_position_embeddings", 2**40),
]


@pytest.mark.parametrize(("part", "key", "value"), SIZES)
def test_networks_larger_than_any_are_not_built(copy: Path, part: str, key: str, value) -> None:
    edit_json(copy / part / "config.json", **{key: value})
    with pytest.raises(UserError, match=rf"^path: {part} of .* has {key} \d+.*, above"):
        StableDiffusionTeacher.load(str(copy), device="cpu")


def test_sizes_of_every_shipped_config_are_allowed() -> None:
    for file in directory().rglob("config.json"):
        check_sizes(json.loads(file.read_text()), str(file))
    check_sizes({"num_hidden_layers": MOST_LAYERS, "eps": 1e-5, "on": True}, "a")
    with pytest.raises(UserError, match="^a has num_hidden_layers 1001, above 1000; copy"):
        check_sizes({"text_config": {"num_hidden_layers": MOST_LAYERS + 1}}, "a")


def test_a_checkpoint_takes_no_memory_that_its_weights_do_not(tmp_path: Path, content) -> None:
    config = content["hyper_parameters"]["student"]
    config["unet"] = {**config["unet"], "block_out_channels": [2**21, 2**22]}  # 10**14 weights
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="is of another version of the student"):
        load_student(tmp_path / "a.ckpt")
    config["unet"] = {**config["unet"], "layers_per_block": 10**9}
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="layers_per_block 1000000000, above 1000"):
        load_student(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("num_train_timesteps", value) for value in (-(2**63), 0, 10**9, "1000", None, True)),
        *(("shift", value) for value in (0, -1, float("nan"), float("inf"), "3", [3])),
    ],
)
def test_a_flow_of_impossible_numbers_is_refused(key: str, value: Any) -> None:
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", key: value}
    with pytest.raises(UserError, match=f"^scheduler.{key}: .* is not allowed; give a"):
        RectifiedFlow.from_scheduler_config(config)


def test_tokens_that_a_text_encoder_does_not_know_are_refused(tmp_path: Path) -> None:
    for file in (directory() / "clip").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    edit_json(tmp_path / "tokenizer_config.json", pad_token="<of another model>")
    with pytest.raises(UserError, match="^clip: .* has a tokenizer of more tokens than its text"):
        Clip.load(tmp_path)


@pytest.mark.parametrize("values", [{"model_max_length": "77"}, {"pad_token": None}])
def test_a_t5_tokenizer_that_cannot_fill_up_a_text_is_refused(tmp_path: Path, values) -> None:
    folder = build_random_sd3(tmp_path / "sd3", "tiny", t5=True)
    edit_json(folder / "tokenizer_3" / "tokenizer_config.json", **values)
    with pytest.raises(UserError, match="^path: the tokenizer of .* has (model_max|no pad_token)"):
        StableDiffusion3Teacher.load(str(folder), device="cpu")


def test_a_tokenizer_is_not_filled_up_without_end(tmp_path: Path) -> None:
    folder = build_random_sd3(tmp_path / "sd3", "tiny", t5=True)
    edit_json(folder / "tokenizer_3" / "tokenizer_config.json", extra_ids=2**32)
    with pytest.raises(UserError, match="^path: tokenizer_3 of .* has extra_ids 4294967296, above"):
        StableDiffusion3Teacher.load(str(folder), device="cpu")


@pytest.mark.parametrize("farthest", [0, 8, -1, 2.5, None])
def test_distances_between_words_are_numbers_of_a_t5(tmp_path: Path, farthest: Any) -> None:
    folder = build_random_sd3(tmp_path / "sd3", "tiny", t5=True)
    edit_json(
        folder / "text_encoder_3" / "config.json",
        **{"relative_attention_num_buckets": 32, "relative_attention_max_distance": farthest},
    )
    with pytest.raises(UserError, match="^path: text_encoder_3 of "):
        StableDiffusion3Teacher.load(str(folder), device="cpu")
