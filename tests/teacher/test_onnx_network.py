"""The network run by ONNX Runtime: what it says, and when it is refused."""

import shutil
from pathlib import Path

import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.onnx_files import open_onnx
from i2i_dds.teacher import onnx_network
from i2i_dds.teacher.onnx_network import OnnxNetwork, cache_folder
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


def question(teacher, rows: int = 3):
    text = teacher.embed(["a cat", "a lion", "a dog", "a fox"][:rows])
    return torch.randn(rows, 4, 4, 4), torch.tensor([10, 500, 900, 20][:rows]), text


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Where files are found again."""
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture
def by_onnx(teacher, kept):
    teacher.use_onnx(kept)
    yield teacher
    teacher.run_plain()


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_it_says_the_same_of_any_number_of_rows(by_onnx, rows: int) -> None:
    asked = question(by_onnx, rows)
    said, plain = by_onnx.predict_noise(*asked), by_onnx.noise_with_graph(*asked)
    torch.testing.assert_close(said, plain, rtol=1e-4, atol=1e-5)
    assert torch.equal(by_onnx.predict_noise(*asked), said)


def test_more_rows_than_a_run_takes_are_asked_in_lots(by_onnx, monkeypatch) -> None:
    asked = question(by_onnx, 4)
    by_onnx.predict_noise(*asked)
    runs, (sizes, run) = [], next(iter(by_onnx.asked._files.items()))

    def counted(tensors):
        runs.append({len(value) for value in tensors.values()})
        return run(tensors)

    monkeypatch.setitem(by_onnx.asked._files, sizes, counted)
    monkeypatch.setattr(onnx_network, "_MOST_ROWS", 3)
    said = by_onnx.predict_noise(*asked)
    assert runs == [{3}, {1}]
    torch.testing.assert_close(said, by_onnx.noise_with_graph(*asked), rtol=1e-4, atol=1e-5)


def test_a_later_one_finds_the_file_again(by_onnx, monkeypatch) -> None:
    by_onnx.predict_noise(*question(by_onnx))
    monkeypatch.setattr(onnx_network, "write_onnx", None)  # whoever writes again, fails
    by_onnx.use_onnx(by_onnx.asked.folder.parents[1])
    by_onnx.predict_noise(*question(by_onnx))


def test_other_weights_have_a_folder_of_their_own(by_onnx, tmp_path) -> None:
    other = StableDiffusionTeacher.load(
        str(build_random_stable_diffusion(tmp_path / "a", "tiny", seed=1)), device="cpu"
    )
    other.use_onnx(by_onnx.asked.folder.parents[1])
    assert other.asked.folder != by_onnx.asked.folder


def test_a_file_that_answers_otherwise_is_refused(by_onnx, tmp_path) -> None:
    asked = question(by_onnx)
    by_onnx.predict_noise(*asked)
    other = StableDiffusionTeacher.load(
        str(build_random_stable_diffusion(tmp_path / "a", "tiny", seed=1)), device="cpu"
    )
    stale = OnnxNetwork(other.network, by_onnx.asked.folder)
    with pytest.raises(UserError, match=r"answers otherwise than the network.*remove that folder"):
        stale(asked[0], asked[1], encoder_hidden_states=asked[2].embeddings, added_cond_kwargs=None)


def test_a_file_that_cannot_be_read_is_named(by_onnx, tmp_path) -> None:
    asked = question(by_onnx)
    by_onnx.predict_noise(*asked)
    own = by_onnx.asked.folder
    broken = OnnxNetwork(by_onnx.network, Path(shutil.copytree(own, tmp_path / "broken")))
    (file,) = broken.folder.rglob("network.onnx")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=r"compile: .*broken.*; remove that folder"):
        broken(
            asked[0], asked[1], encoder_hidden_states=asked[2].embeddings, added_cond_kwargs=None
        )


def test_what_cannot_be_written_is_named(tmp_path) -> None:
    class Odd(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum().item() > 0 else x

    with pytest.raises(UserError, match="compile: a Odd cannot be written as ONNX"):
        OnnxNetwork(Odd(2, 2), tmp_path)(torch.ones(2, 2))
    assert not list(tmp_path.iterdir())


def test_it_is_for_single_precision_on_the_cpu(tmp_path) -> None:
    with pytest.raises(UserError, match=r"float32 networks on the CPU, not torch.float16"):
        OnnxNetwork(torch.nn.Linear(1, 1).half(), tmp_path)
    with pytest.raises(UserError, match="on meta; give teacher.device=cpu"):
        OnnxNetwork(torch.nn.Linear(1, 1, device="meta"), tmp_path)


def test_the_extra_is_named_where_it_is_missing(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(onnx_network, "missing_packages", lambda: ["onnxruntime"])
    with pytest.raises(UserError, match=r"needs onnxruntime; pip install 'i2i-dds\[export\]'"):
        OnnxNetwork(torch.nn.Linear(1, 1), tmp_path)


def test_files_are_kept_where_the_user_says(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("I2I_DDS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("I2I_DDS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache_folder() == tmp_path / "caches" / "i2i_dds"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "i2i_dds"


def test_a_teacher_that_was_moved_is_not_asked_as_before(tmp_path) -> None:
    folder = build_random_stable_diffusion(tmp_path / "a", "tiny", seed=1)
    teacher = StableDiffusionTeacher.load(str(folder), device="cpu")
    teacher.use_onnx(tmp_path / "onnx")
    run_as_before = teacher.run_plain()
    run_as_before()
    assert isinstance(teacher.asked, OnnxNetwork)
    run_as_before = teacher.run_plain()
    teacher.to("meta")
    run_as_before()  # ONNX Runtime's session has the weights where they were
    assert teacher.asked is teacher.network


@pytest.mark.parametrize(("version", "spins"), [("1.20.1", "0"), ("1.27.0", "1"), ("2.0.0", "1")])
def test_threads_look_on_only_where_they_can_be_told_for_how_long(
    monkeypatch, version: str, spins: str
) -> None:
    import onnxruntime

    opened = []
    monkeypatch.setattr(onnxruntime, "__version__", version)
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda path, sess_options, **_: opened.append(sess_options)
    )
    open_onnx(Path("some.onnx"))
    asked = opened[0].get_session_config_entry
    assert asked("session.intra_op.allow_spinning") == spins
    assert asked("session.intra_op.spin_duration_us") == "50"
