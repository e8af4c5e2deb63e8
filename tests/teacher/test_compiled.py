"""The network compiled for predictions: when, and that it says the same."""

import pytest
import torch

from i2i_dds.editing.lora import LoraSettings, train_lora
from i2i_dds.editing.lora_cache import save_lora
from i2i_dds.editing.lora_teacher import LoraTeacher
from i2i_dds.teacher import compiled
from i2i_dds.teacher.compiled import CompiledWherePaying


@pytest.fixture
def counted(monkeypatch):
    """Stands for torch.compile: counts what it is called with, and takes no time."""
    made = []

    def compile(network, **options):
        made.append(options)
        return lambda *args, **named: network(*args, **named) + 1

    monkeypatch.setattr(torch, "compile", compile)
    return made


def ask(lazy: CompiledWherePaying, rows: int, times: int) -> list[float]:
    return [float(lazy(torch.zeros(rows, 2))[0, 0]) for _ in range(times)]


def test_what_comes_three_times_is_compiled_for_its_own_size_alone(counted) -> None:
    lazy = CompiledWherePaying(torch.nn.Identity())
    assert ask(lazy, 4, 5) == [0, 0, 0, 1, 1]
    assert ask(lazy, 2, 2) == [0, 0] and len(counted) == 1
    assert ask(lazy, 4, 1) == [1]
    assert counted[0] == {"dynamic": False, "options": {"freezing": True}}


def test_auto_compiles_where_it_saves_more_than_it_takes(counted, monkeypatch) -> None:
    clock = iter(range(0, 10_000, 10))  # each look at it ten seconds after the one before
    monkeypatch.setattr(compiled.time, "perf_counter", lambda: float(next(clock)))
    short = CompiledWherePaying(torch.nn.Identity(), calls=40)
    assert ask(short, 4, 5) == [0] * 5 and not counted  # 37 x 10 s x 0.3 < 120 s
    long = CompiledWherePaying(torch.nn.Identity(), calls=44)
    assert ask(long, 4, 5) == [0, 0, 0, 1, 1] and len(counted) == 1
    assert long.cost == 10


@pytest.fixture
def compiling(teacher, monkeypatch):
    """A teacher that compiles what it is asked three times, to another network."""
    monkeypatch.setattr(torch, "compile", lambda network, **_: _Louder(network))
    teacher.compile()
    yield teacher
    teacher.run_plain()


class _Louder:
    """The network's answer, doubled."""

    def __init__(self, network) -> None:
        self.network = network

    def __call__(self, *args, **named):
        output = self.network(*args, **named)
        output.sample = 2 * output.sample
        return output


def question(teacher):
    text = teacher.embed(["a cat", "a lion"])
    return torch.randn(2, 4, 4, 4), torch.tensor([10, 20]), text


def test_a_teacher_asks_it_where_no_gradient_and_no_hook_is_wanted(compiling) -> None:
    asked = question(compiling)
    plain = compiling.noise_with_graph(*asked)
    first = [compiling.predict_noise(*asked) for _ in range(3)]
    assert all(torch.equal(one, plain) for one in first)
    assert torch.equal(compiling.predict_noise(*asked), 2 * plain)
    assert torch.equal(compiling.noise_with_graph(*asked), plain)
    assert len(compiling.features(*asked, 0)) == 2
    compiling.to("cpu")
    assert torch.equal(compiling.predict_noise(*asked), plain)


def test_an_adapter_is_never_put_on_constants(compiling, tmp_path) -> None:
    asked = question(compiling)
    for _ in range(3):
        compiling.predict_noise(*asked)
    settings, text = LoraSettings(steps=1), compiling.embed(["a cat"])
    lora = train_lora(compiling, torch.zeros(1, 4, 4, 4), text, settings)
    save_lora(lora, settings, tmp_path / "a.safetensors")
    with LoraTeacher(compiling, tmp_path / "a.safetensors") as learned:
        expected = compiling.noise_with_graph(*asked)  # half of what the compiled one would say
        assert torch.allclose(learned.predict_noise(*asked), expected, atol=0.1)
    plain = compiling.noise_with_graph(*asked)
    assert torch.equal(compiling.predict_noise(*asked), 2 * plain)  # compiled again without it


@pytest.mark.slow
def test_what_is_really_compiled_says_the_same_to_rounding(teacher) -> None:
    asked = question(teacher)
    plain = teacher.predict_noise(*asked)
    try:
        teacher.compile()
        answers = [teacher.predict_noise(*asked) for _ in range(5)]
        assert teacher._asked.cost != compiled._COST  # it was compiled, and timed
    finally:
        teacher.run_plain()
    torch.testing.assert_close(answers[-1], plain, rtol=1e-4, atol=1e-5)
