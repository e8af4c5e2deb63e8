"""What Python trains with by default is what ``train.py`` trains with."""

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from i2i_dds import EditTraining, Student, load_teacher
from i2i_dds.cli.app import config_dir
from i2i_dds.student.build import student_shapes
from i2i_dds.tasks import Task
from i2i_dds.teacher.presets import presets_for


def partial_of(part) -> tuple:
    settings = {name: list(v) if name == "betas" else v for name, v in part.keywords.items()}
    return part.func, settings


def test_the_parts_are_those_of_the_config() -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", ["task=cat2lion"])
    teacher = load_teacher("pocket", device="cpu")
    student = Student.new(teacher, Task("cat2lion", {"cat": "lion"}))
    training = EditTraining(student.network, teacher)
    assert training.score == instantiate(cfg.score)
    for name in ("guidance", "identity", "timesteps"):
        assert getattr(training, name) == instantiate(cfg[name])
    assert partial_of(training._optimizer) == partial_of(instantiate(cfg.optimizer))
    assert partial_of(training._scheduler) == partial_of(instantiate(cfg.scheduler))
    assert training.seed == cfg.seed
    assert presets_for("pocket")["train"]["lr"] == cfg.optimizer.lr
    net = instantiate(cfg.student)(teacher, student.network.tasks, seed=cfg.seed)
    mine, theirs = student.network.state_dict(), net.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(bool((mine[name] == theirs[name]).all()) for name in mine)


def test_shapes_are_those_of_the_configs() -> None:
    shapes = student_shapes()
    assert list(shapes) == ["base", "small"]
    for name, shape in shapes.items():
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            cfg = compose("train", ["task=cat2lion", f"student={name}"])
        assert shape == cfg.student.unet


def test_one_value_is_a_schedule_that_stays() -> None:
    teacher = load_teacher("pocket", device="cpu")
    student = Student.new(teacher, Task("cat2lion", {"cat": "lion"}))
    training = EditTraining(student.network, teacher, guidance=3.0, identity=0.0)
    assert [training.guidance(at) for at in (0.0, 0.5, 1.0)] == [3.0] * 3
    assert training.identity(0.0) == 0
