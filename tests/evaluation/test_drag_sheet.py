"""Best, median and worst are chosen, named and shown."""

from pathlib import Path

import pytest
from PIL import Image

from i2i_dds.evaluation.drag_sheet import best_median_worst, contact_sheet, histogram, ranked
from i2i_dds.evaluation.drags import DragRow


def row(i: int, gain: float | None = None, distance: float = 1.0, **more) -> DragRow:
    known = {} if gain is None else {"psnr_truth": 20 + gain, "psnr_truth_source": 20.0}
    return DragRow(str(i), pairs=1, numbers={"md_dragdiffusion": distance, **known}, **more)


def names(rows: list[DragRow]) -> list[str]:
    return [each.name for each in rows]


def test_the_best_gains_most_on_doing_nothing() -> None:
    rows = [row(0, -1.0, 1.0), row(1, 2.0, 9.0), row(2, 0.5, 5.0), row(3, error="broken")]
    assert names(ranked(rows)) == ["1", "2", "0"]


def test_without_truth_the_nearest_is_best() -> None:
    rows = [row(0, distance=4.0), row(1, distance=9.0), row(2, distance=1.0), row(3, error="x")]
    assert names(ranked(rows)) == ["2", "0", "1"]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, {}),
        (1, {"best": "0"}),
        (2, {"best": "0", "worst": "1"}),
        (3, {"best": "0", "median": "1", "worst": "2"}),
        (7, {"best": "01", "median": "23", "worst": "56"}),
        (20, {"best": "0123", "median": ["8", "9", "10", "11"], "worst": ["16", "17", "18", "19"]}),
    ],
)
def test_best_median_and_worst_and_none_twice(count: int, expected: dict) -> None:
    found: dict[str, list[str]] = {}
    for part, each in best_median_worst([row(i) for i in range(count)]):
        found.setdefault(part, []).append(each.name)
    assert found == {part: list(these) for part, these in expected.items()}


def test_strips_stand_below_one_another(tmp_path: Path) -> None:
    colors = {"0": "red", "1": "lime", "2": "blue"}
    for name, color in colors.items():
        (tmp_path / name).mkdir()
        size = (200, 40 + 10 * int(name))
        Image.new("RGB", size, color).save(tmp_path / name / "before_after.png")
    sheet = contact_sheet([row(2, 0.0), row(0, 2.0), row(1, 1.0)], tmp_path)
    assert sheet is not None and sheet.size == (200, 40 + 50 + 60 + 3 * 18)
    tops = (18, 18 + 40 + 18, 18 + 40 + 18 + 50 + 18)
    assert [sheet.getpixel((100, top)) for top in tops] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    lines = [sheet.crop((0, top - 18, 200, top)).convert("L").getextrema()[0] for top in tops]
    assert max(lines) < 128  # words stand above each
    assert contact_sheet([row(0, error="broken")], tmp_path) is None


def test_histogram_of_the_items_that_worked(tmp_path: Path, monkeypatch) -> None:
    from matplotlib.axes import Axes

    told = []
    drawn = Axes.hist
    monkeypatch.setattr(Axes, "hist", lambda self, x, **k: (told.append(x), drawn(self, x, **k))[1])
    rows = [row(0, distance=4.0), row(1, distance=9.0), row(2, error="broken")]
    histogram(rows, tmp_path / "histogram.png")
    assert told == [[4.0, 9.0]]
    with Image.open(tmp_path / "histogram.png") as picture:
        assert picture.size == (600, 360)
