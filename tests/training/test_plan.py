import pytest

from i2i_dds.errors import UserError
from i2i_dds.training.memory import StepMemory
from i2i_dds.training.plan import GIB, Plan, PlanSettings, easier, parse_memory, plans, table

ASKED = PlanSettings(4, 1, "float32", "32-true", False, True)


def gib(way: PlanSettings) -> StepMemory:
    """Three for the teacher, two for the weights and what they bring, two for each picture."""
    teacher = 3 if way.teacher_dtype == "float32" else 1
    step = 2 * way.batch_size // (2 if way.checkpointing else 1)
    parts = [teacher, 2, 2, 4, 2 if way.average else 0, 1, step]
    return StepMemory(*(part * GIB for part in parts))


@pytest.mark.parametrize(
    ("limit", "typed", "total"),
    [
        (24, [], 21),
        (22, ["teacher.dtype=float16"], 19),
        (18, ["teacher.dtype=float16", "gradient_checkpointing=true"], 15),
        (
            14.7,
            [
                *("data.batch_size=2", "trainer.accumulate_grad_batches=2"),
                *("teacher.dtype=float16", "trainer.precision=bf16-mixed"),
                "gradient_checkpointing=true",
            ],
            13,
        ),
    ],
)
def test_the_first_easier_way_that_fits_is_found(limit: float, typed: list[str], total) -> None:
    last = plans(ASKED, int(limit * GIB), gib)[-1]
    assert last.fits and last.typed == typed and last.memory.total == total * GIB
    assert last.needed == pytest.approx((total * 1.05 + 1) * GIB)


def test_where_nothing_fits_all_ways_are_told() -> None:
    found = plans(ASKED, GIB, gib)
    assert not any(one.fits for one in found)
    assert [one.settings for one in found] == [ASKED, *easier(ASKED)]
    assert "callbacks.ema=null" in found[-1].typed
    assert {(o.settings.batch_size * o.settings.accumulate) for o in found} == {4}
    assert table(found).count(" no") == len(found)


def test_a_table_names_what_to_type() -> None:
    lines = table([Plan(ASKED, ["teacher.dtype=float16"], gib(ASKED), True)]).splitlines()
    assert lines[0].split()[:3] == ["GiB", "teacher", "student"]
    assert lines[1].split() == ["3.00", "2.00", "2.00", "4.00", "2.00", "1.00", "8.00", "23.05",
                                "yes"]  # fmt: skip
    assert lines[2] == "  teacher.dtype=float16"


@pytest.mark.parametrize(("text", "size"), [("24GB", 24), (" 80 GiB", 80), ("0.5gb", 0.5)])
def test_memory_as_cards_are_sold(text: str, size: float) -> None:
    assert parse_memory(text) == size * GIB


@pytest.mark.parametrize("text", ["24", "0GB", "much", "24TB", "-1GB"])
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="gpu: .* give a device's memory, such as 24GB"):
        parse_memory(text)
