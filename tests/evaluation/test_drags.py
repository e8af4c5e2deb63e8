"""What a drag is worth, by hand and against the metrics it is made of."""

import json
from dataclasses import replace
from math import isnan

import pytest
import torch
from PIL import Image

from i2i_dds.data.dragbench import DragItem, TruthItem
from i2i_dds.data.images import to_pil, to_tensor
from i2i_dds.editing.drag_items import Dragged, DragRequest
from i2i_dds.errors import UserError
from i2i_dds.evaluation.drag_metric import (
    DRAG_METRICS,
    TRUTH_DRAG_METRICS,
    MeasuredDrag,
    measure_drag,
    outside_equal,
)
from i2i_dds.evaluation.drag_summary import drag_metrics, summary_table
from i2i_dds.evaluation.drags import DragMeter, DragRow
from i2i_dds.evaluation.metric import Metric
from i2i_dds.metrics.arrival import LEAST
from i2i_dds.runs import plain
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> StableDiffusionTeacher:
    folder = build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")
    return StableDiffusionTeacher.load(str(folder), device="cpu")


def picture(*corners: tuple[int, int]) -> Image.Image:
    """Noise of 8 x 8 at each corner (x, y) on a flat ground of 32 x 32."""
    x = torch.full((3, 32, 32), -0.2)
    for i, (left, top) in enumerate(corners):
        generator = torch.Generator().manual_seed(i)
        x[:, top : top + 8, left : left + 8] = torch.rand(3, 8, 8, generator=generator) * 2 - 1
    return to_pil(x)


def template(left: int, top: int) -> Image.Image:
    image = Image.new("L", (32, 32), 0)
    image.paste(255, (left, top, left + 8, top + 8))
    return image


@pytest.fixture
def truth() -> TruthItem:
    """Two things, each eight pixels to the right of where it was."""
    points = (((4.0, 4.0), (12.0, 4.0)), ((4.0, 24.0), (12.0, 24.0)))
    item = DragItem("item", picture((0, 0), (0, 20)), None, "noise", points)
    answer = picture((8, 0), (8, 20))
    return TruthItem(item, "ear", answer, (template(8, 0), template(8, 20)))


def dragged(x: torch.Tensor, **changes) -> Dragged:
    z = torch.zeros(1, 4, 8, 8)
    settled = Dragged(x, z, z, None, (), (), 2, 1.0, 12, 0, (x,))
    return replace(settled, **changes)


def measured(truth: TruthItem, x: torch.Tensor, **more) -> MeasuredDrag:
    return MeasuredDrag(truth.item, dragged(x), to_tensor(truth.item.image), truth, **more)


def truth_numbers(truth: TruthItem, x: torch.Tensor) -> dict[str, float]:
    return measure_drag(TRUTH_DRAG_METRICS.values(), measured(truth, x))


def distances(meter: DragMeter, truth: TruthItem, x: torch.Tensor) -> tuple[float, float]:
    of = measured(truth, x, features=meter.features(truth.item, x))
    both = (DRAG_METRICS[name] for name in ("md_dragdiffusion", "md_regiondrag"))
    first, second = measure_drag(both, of).values()
    return first, second


def test_both_things_must_arrive(truth):
    there = truth_numbers(truth, to_tensor(truth.truth))
    assert (there["arrived"], there["arrived_source"]) == (1, 0)
    assert there["psnr_truth"] == pytest.approx(106.02, abs=0.01)  # of equal pictures
    half = truth_numbers(truth, to_tensor(picture((8, 0), (0, 20))))
    assert half["arrived"] == 0
    assert half["psnr_truth_source"] < half["psnr_truth"] < there["psnr_truth"]


def test_a_thing_in_its_place_that_is_hardly_alike_is_told_from_one_that_arrived(truth):
    answer = to_tensor(truth.truth)
    noise = torch.randn(answer.shape, generator=torch.Generator().manual_seed(0))
    smeared = truth_numbers(truth, answer + 0.9 * noise)
    assert (smeared["arrived"], smeared["within_cell"]) == (0, 1)
    assert 0 < smeared["score"] < LEAST < truth_numbers(truth, answer)["score"]
    assert truth_numbers(truth, to_tensor(truth.item.image))["within_cell"] == 0


def test_a_source_that_passes_by_chance_is_told(truth):
    item = replace(truth.item, image=truth.truth)
    lucky = truth_numbers(replace(truth, item=item), to_tensor(picture((0, 0), (0, 20))))
    assert (lucky["arrived"], lucky["arrived_source"]) == (0, 1)


def test_the_latent_outside_the_mask_is_compared_to_the_bit():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :2] = 1
    inside, outside = torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)
    inside[..., 1], outside[..., 2] = 1.0, 1e-30
    x, item = torch.zeros(3, 32, 32), DragItem("item", picture(), None, "noise", ())

    def equal(**changes) -> bool:
        return bool(outside_equal(MeasuredDrag(item, dragged(x, **changes), x)))

    assert equal(z=inside, mask=mask)
    assert not equal(z=outside, mask=mask)
    assert equal(z=outside)


def test_an_untouched_picture_is_found_where_its_handles_are(teacher, truth):
    """Features of equal pictures are equal: each handle is found at its own place."""
    meter = DragMeter(teacher, t=1, ensemble=1, regiondrag_side=None)
    x = to_tensor(truth.item.image)
    request = DragRequest("item", x, "noise", truth.item.points)
    row = meter(truth.item, request, dragged(x), truth)
    found = row.number("md_dragdiffusion"), row.number("md_regiondrag")
    assert found == distances(meter, truth, x)
    assert found == (8.0, 25.0)  # eight pixels from its target, a quarter of the side
    assert (row.name, row.kind, row.pairs, row.drag_steps) == ("item", "ear", 2, 2)
    assert (row.evaluations, row.number("outside_equal")) == (12, 1)
    assert row.number("psnr_source") == pytest.approx(106.02, abs=0.01)
    assert row.number("psnr_truth") == row.number("psnr_truth_source") < 30
    assert isnan(row.number("image_fidelity"))  # nothing to measure it with
    other = distances(meter, truth, to_tensor(truth.truth))
    assert other[0] != 8 and other[1] != 25


def test_image_fidelity_is_between_source_and_result(teacher, truth):
    told = []

    def fidelity(x, y):
        told.append((x, y))
        return torch.tensor([0.25])

    source, result = to_tensor(truth.item.image), to_tensor(truth.truth)
    meter = DragMeter(teacher, ensemble=1, regiondrag_side=None, fidelity=fidelity)
    request = DragRequest("item", source, "noise", truth.item.points)
    row = meter(truth.item, request, dragged(result), None)
    assert row.number("image_fidelity") == 0.25
    assert torch.equal(told[0][0], source[None]) and torch.equal(told[0][1], result[None])
    assert all(isnan(row.number(name)) for name in TRUTH_DRAG_METRICS) and row.kind == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block": 2}, "features.block: 2 is not allowed; give 0 to 1"),
        ({"t": 1000}, "features.t: 1000 is not allowed; give 0 to 999"),
    ],
)
def test_features_that_the_teacher_has_not_are_refused_at_once(teacher, settings, message):
    with pytest.raises(UserError, match=message):
        DragMeter(teacher, **settings)


def test_a_teacher_without_features_is_refused_at_once():
    with pytest.raises(
        UserError, match=r"^features\.teacher: this one shows nothing of its inside"
    ):
        DragMeter(object())


ROWS = [
    DragRow("a", "head", pairs=1, evaluations=10,
            numbers={"arrived": 1.0, "arrived_source": 0.0, "within_cell": 1.0,
                     "psnr_truth": 20.0, "psnr_truth_source": 15.0,
                     "md_dragdiffusion": 3.0, "md_regiondrag": 10.0}),
    DragRow("b", "ear", pairs=2, evaluations=30, nonfinite=3,
            numbers={"arrived": 0.0, "arrived_source": 1.0, "within_cell": 1.0,
                     "psnr_truth": 10.0, "psnr_truth_source": 17.0,
                     "md_dragdiffusion": 9.0, "md_regiondrag": 20.0}),
    DragRow("c", error="no such file"),
]  # fmt: skip


def test_metrics_by_hand():
    metrics = drag_metrics(ROWS, {"a": 1.0, "b": 2.0, "c": 99.0}, {"a": 8.0, "b": 4.0, "c": 0.0})
    assert (metrics["n"], metrics["failed"], metrics["nonfinite"]) == (3, 1, 3)
    assert (metrics["arrived"], metrics["arrived_source"]) == (0.5, 0.5)
    assert metrics["within_cell"] == 1.0
    assert (metrics["psnr_truth"], metrics["psnr_truth_source"]) == (15.0, 16.0)
    assert metrics["md_dragdiffusion"] == (3 + 9 + 9) / 3  # over pairs
    assert metrics["md_regiondrag"] == 15.0  # over items
    assert (metrics["seconds_per_item"], metrics["lora_seconds_per_item"]) == (1.5, 6.0)
    assert metrics["evaluations_per_item"] == 20.0
    assert metrics["image_fidelity"] is None
    assert list(metrics["kinds"]) == ["ear", "head"]
    assert metrics["kinds"]["ear"]["n"] == 1 and metrics["kinds"]["ear"]["md_dragdiffusion"] == 9.0
    assert "kinds" not in drag_metrics(ROWS[:1], {"a": 1.0}, {"a": 0.0})


def test_of_nothing_there_are_no_means():
    metrics = drag_metrics(ROWS[2:], {"c": 1.0}, {"c": 0.0})
    assert (metrics.pop("n"), metrics.pop("failed"), metrics.pop("nonfinite")) == (1, 1, 0)
    assert set(metrics.values()) == {None}


def test_the_table_has_a_row_for_all_and_for_each_kind():
    seconds = {"a": 1.0, "b": 2.0}
    lines = summary_table(drag_metrics(ROWS, seconds, {"a": 8.0, "b": 4.0})).splitlines()
    header = [cell.strip() for cell in lines[0].split("|")]
    assert "arrived" in header and "image fidelity" not in header  # none was measured
    cells = [[cell.strip() for cell in line.split("|")] for line in lines[2:]]
    assert [row[1] for row in cells] == ["all", "ear", "head"]
    shown = dict(zip(header, cells[0], strict=True))
    assert (shown["items"], shown["failed"], shown["arrived"]) == ("3", "1", "50 %")
    assert shown["distance, DragDiffusion's, px"] == "7.0"
    assert shown["distance, RegionDrag's, x 100"] == "15.0"
    assert dict(zip(header, cells[1], strict=True))["PSNR to truth, dB"] == "10.0"


def test_an_added_metric_is_in_rows_means_and_table(teacher, truth, monkeypatch):
    redness = Metric("redness", "redness", "%", 1, True, lambda measured: measured.x[0].mean())
    monkeypatch.setitem(DRAG_METRICS, "redness", redness)
    meter = DragMeter(teacher, ensemble=1, regiondrag_side=None)
    x = torch.full((3, 32, 32), 0.25)
    row = meter(truth.item, DragRequest("item", x, "noise", truth.item.points), dragged(x), None)
    assert row.values()["redness"] == DragRow.read(row.values()).number("redness") == 0.25
    metrics = drag_metrics([row], {"item": 1.0}, {"item": 0.0})
    assert metrics["redness"] == 0.25
    assert " redness, % |" in summary_table(metrics).splitlines()[0]


def test_a_row_is_kept_and_read_again():
    for row in ROWS:
        again = DragRow.read(json.loads(json.dumps(plain(row.values()))))
        assert str(again.values()) == str(row.values())  # NaN is not equal to itself
