"""Each plain loop ends where ours does, and a difference is noticed before a ratio is told."""

from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.process import VariancePreserving
from i2i_dds.editing.drag import Drag
from i2i_dds.errors import UserError
from i2i_dds.research.bench import dragging, training, zero_shot
from i2i_dds.research.bench.network import teacher_shares
from i2i_dds.research.bench.quality import Quality
from i2i_dds.research.bench.run import check_teacher
from i2i_dds.research.bench.settings import BenchSettings
from i2i_dds.research.bench.timing import Way, compare, fastest, in_turn, share_of_peak, times
from i2i_dds.teacher.load import load_teacher
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

QUICK = BenchSettings(
    rounds=1,
    pictures=2,
    targets=2,
    steps=3,
    plain_steps=2,
    preset_steps=2,
    quality_n=1,
    drags=1,
    quality_drags=1,
    train_steps=2,
    train_batch=3,
    student_steps=3,
)


@pytest.fixture(scope="module")
def teacher():
    return load_teacher("pocket", device="cpu", dtype="float32")


def is_measured(row: dict) -> bool:
    assert row["ratio"] == pytest.approx(row["plain_s"] / row["ours_s"])
    return row["max_difference"] <= row["tolerance"] and row["plain_s"] > 0


def test_notebooks_loop_and_ours_end_at_the_same_latents(teacher) -> None:
    told: list[str] = []
    rows = zero_shot.zero_shot_rows(teacher, "pocket", QUICK, told.append)
    assert list(rows) == told
    assert {name: row["items"] for name, row in rows.items()} == {
        "zero_shot_single": 1,
        "zero_shot_batch16_per_image": 2,
        "zero_shot_8_targets": 2,
    }
    for row in rows.values():
        assert is_measured(row) and row["max_difference"] < 2e-5
        assert row["quality"]["n"] == 1 and row["quality"]["ours"]["psnr_truth"] > 10


def test_sequential_drag_and_ours_end_at_the_same_latents(teacher) -> None:
    row = dragging.drag_comparison(teacher, QUICK)
    assert is_measured(row) and row["max_difference"] < 2e-5
    assert row["quality"]["plain"]["psnr_truth"] > 10


@pytest.mark.parametrize("tasks", [training.CAT2LION, training.FOUR_TASKS], ids=["one", "four"])
def test_plain_training_and_ours_end_at_the_same_student(teacher, tasks) -> None:
    row = training.training_comparison(teacher, QUICK, tasks)
    assert is_measured(row) and row["max_difference"] < 2e-4
    assert row["ratio_equal_quality"] == row["ratio"]


def test_a_training_in_less_precision_is_another_and_is_worth_what_its_student_is(teacher) -> None:
    row = training.training_row(teacher, "pocket", replace(QUICK, dtype="bfloat16"))
    quality = row["quality"]
    assert is_measured(row) and row["dtype"] == "bfloat16"  # the same student, of float32
    plain, ours = (quality[name]["psnr_truth"] for name in ("plain", "ours"))
    assert plain != ours and ours == pytest.approx(plain, abs=0.1) and quality["equal"]
    assert row["ratio_equal_quality"] == pytest.approx(quality["plain_s"] / quality["ours_s"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_precision_that_is_faster_is_taken(teacher, monkeypatch, dtype) -> None:
    known: list[set[str]] = []
    for module in (training, zero_shot):
        monkeypatch.setattr(module, "fastest", lambda ways: known.append(set(ways)) or dtype)
    few = replace(QUICK, train_steps=1, student_steps=1, steps=1, pictures=1, targets=1)
    row = training.training_row(teacher, "pocket", few)
    assert row["dtype"] == dtype and row["guidance"] == 1 and row["draws"] == 2
    rows = zero_shot.zero_shot_rows(teacher, "pocket", few, lambda name: None)
    assert [one["dtype"] for one in rows.values()] == [dtype] * 3
    assert known == [{"float32", "bfloat16"}] * 4


def test_a_descent_in_less_precision_is_another_and_worth_the_same(teacher) -> None:
    half = zero_shot.by_precision(teacher, "pocket", "bfloat16")["bfloat16"]
    preset = zero_shot.build_editor("zero_shot", teacher.presets, num_inference_steps=4)[0]
    settings = replace(QUICK, quality_n=2)
    worth = [
        zero_shot.descent_worth(one, preset, settings)["psnr_truth"] for one in (teacher, half)
    ]
    assert worth[0] != worth[1] and worth[1] == pytest.approx(worth[0], abs=0.1)


def test_the_fastest_does_the_least_for_an_item() -> None:
    told: list[str] = []

    def way(name: str, products: int, items: int) -> Way:
        a = torch.rand(256, 256)

        def run(count: int) -> torch.Tensor:
            told.append(name)
            return [a @ a for _ in range(products)][-1]

        return Way(run, items)

    # Twice the work of the other for forty times the items.
    assert fastest({"slow": way("slow", 20, 1), "fast": way("fast", 40, 40)}) == "fast"
    assert told == ["slow", "fast"] * 2
    assert fastest({"only": way("only", 1, 1)}) == "only" and told[4:] == []


@pytest.mark.parametrize(("guidance", "share"), [(None, 1), (3.0, 1), (1.0, 1 / 2)])
def test_guidance_of_one_asks_for_half_of_the_rows(teacher, guidance, share) -> None:
    batches = training.training_batches(teacher, steps=2, size=3)
    before = teacher.nfe
    training.our_training(teacher, batches, 0, guidance=guidance)
    assert teacher.nfe - before == share * 2 * 3 * 4


def test_kept_draws_ask_about_a_source_once_each(teacher) -> None:
    batches = training.training_batches(teacher, steps=5, size=3, epochs=5)
    assert len({id(batch) for batch in batches}) == 1
    before = teacher.nfe
    training.our_training(teacher, batches, 0, guidance=1.0, draws=2, epochs=5)
    assert teacher.nfe - before == 3 * (5 + 2)


@pytest.mark.parametrize(
    ("steps", "epochs", "length"), [(800, 1.5, 533), (800, 12, 67), (1, 12, 1)]
)
def test_batches_come_again_after_an_epoch(steps: int, epochs: float, length: int) -> None:
    assert training._epoch_length(steps, epochs) == length


@pytest.mark.parametrize("change", [{"beta": 0.2}, {"guidance_scale_end": 2.0}, {"alpha": 1.1}])
def test_a_drag_by_other_numbers_is_noticed(teacher, monkeypatch, change: dict) -> None:
    plain = dragging.plain_drag

    def other(*args):
        return plain(*args[:-1], replace(args[-1], **change))

    monkeypatch.setattr(dragging, "plain_drag", other)
    row = dragging.drag_comparison(teacher, QUICK)
    assert row["ratio"] is None and row["max_difference"] > 1e-3


def test_another_noise_of_the_descent_is_noticed(teacher, monkeypatch) -> None:
    monkeypatch.setattr(
        zero_shot, "item_generators", lambda seed, keys: [torch.Generator().manual_seed(1)]
    )
    rows = zero_shot.zero_shot_rows(teacher, "pocket", QUICK, lambda name: None)
    assert all(row["ratio"] is None and row["max_difference"] > 1e-2 for row in rows.values())


def test_a_training_without_the_identity_is_noticed(teacher, monkeypatch) -> None:
    plain = training.plain_training
    monkeypatch.setattr(
        training, "plain_training", lambda *a, **k: plain(*a, **{**k, "identity": 50.0})
    )
    assert training.training_comparison(teacher, QUICK)["ratio"] is None


def test_teachers_that_the_plain_loops_cannot_ask_are_refused(teacher, analytic) -> None:
    with pytest.raises(UserError, match="teacher: the plain loops ask a Stable Diffusion, not a G"):
        check_teacher(analytic)
    process = VariancePreserving(teacher.process.alphas_cumprod, "v_prediction")
    parts = teacher.vae, teacher.text_encoder, teacher.tokenizer, teacher.unet
    told = StableDiffusionTeacher(*parts, process, device="cpu")
    with pytest.raises(UserError, match="predictions of noise, not v_prediction"):
        check_teacher(told)


def test_ways_run_in_turn_and_their_seconds_are_those_of_an_item() -> None:
    told: list[tuple[str, int]] = []

    def way(name: str, items: int) -> Way:
        return Way(lambda count: told.append((name, count)) or torch.zeros(count), items)

    slow, fast = in_turn([way("plain", 2), way("ours", 3)], rounds=2)
    assert told == [("plain", 2), ("ours", 3)] * 2
    row = times(way("plain", 2), way("ours", 3), 1)
    assert row["ratio"] == pytest.approx(row["plain_s"] / row["ours_s"])
    assert slow.wall > 0 and fast.cpu >= 0


@pytest.mark.parametrize(("off", "told"), [(0.0, True), (0.5, True), (1.5, False)])
def test_no_ratio_is_told_of_ways_that_differ(off: float, told: bool) -> None:
    plain, ours = Way(torch.zeros, 1), Way(lambda count: torch.full((count,), off), 1)
    row = compare(plain, ours, 3, 1, tolerance=1.0)
    assert row["max_difference"] == off and (row["ratio"] is not None) == told


def test_no_ratio_is_told_of_what_is_not_finite() -> None:
    broken = Way(lambda count: torch.full((count,), torch.nan), 1)
    assert compare(broken, broken, 1, 1, tolerance=1.0)["ratio"] is None


@pytest.mark.parametrize(
    ("psnr", "success", "equal"),
    [(20.0, 0.9, True), (19.81, 0.9, True), (19.79, 0.9, False), (25.0, 0.87, False)],
)
def test_a_faster_way_that_is_worth_less_has_no_ratio_at_equal_quality(psnr, success, equal):
    quality = Quality(
        8, {"psnr_truth": 20.0, "success": 0.9}, {"psnr_truth": psnr, "success": success}
    )
    row = quality.columns({"ratio": 4.0, "ours_s": 1.0, "plain_s": 4.0, "ratio_cpu": 4.0})
    assert row["quality"]["equal"] is equal
    assert row["ratio_equal_quality"] == (4.0 if equal else None)


def test_the_share_of_a_product_is_about_one(teacher) -> None:
    a, b = torch.rand(2, 1024, 1024)
    assert 0.4 < share_of_peak(lambda: a @ b, 2 * 1024**3, 3) < 2.5
    shares = teacher_shares(teacher, 1, compile=False)
    assert 0.05 < shares["batch4"] < 1.5 and shares["compiled"] is None


def test_growth_is_told_of_pictures_and_of_targets(teacher) -> None:
    curves = zero_shot.growth(teacher, replace(QUICK, growth=2))
    assert [[line["count"] for line in lines] for lines in curves.values()] == [[1, 2], [1, 2]]
    assert set(curves) == {"pictures", "targets"}


def test_public_drag_goes_in_the_papers_drag_steps_and_a_fifth_of_its_steps() -> None:
    assert Drag().drag_step == dragging.PUBLIC["drag_step"]
    assert Drag().steps == 5 * dragging.PUBLIC["steps"]
