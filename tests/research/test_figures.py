"""Figures of the documents are drawn from the numbers beside them."""

from pathlib import Path

from PIL import Image

from i2i_dds.research import figures
from i2i_dds.research.figures import draw_figures, read_lines

RESULTS = Path(__file__).parents[2] / "docs" / "results"
HEADER = "variant,iteration,seeds,success,success_spread,psnr_truth_gain,psnr_truth_gain_spread"


def test_every_study_with_numbers_gets_its_figure(tmp_path: Path) -> None:
    drawn = draw_figures(RESULTS, tmp_path)
    tables = {path.stem for path in (RESULTS / "analysis").glob("*.csv")} - {"student"}  # bars
    assert {path.name for path in drawn} == {f"analysis_{name}.png" for name in tables}
    for path in drawn:
        with Image.open(path) as picture:
            assert picture.width > 400 and len(set(picture.convert("RGB").getdata())) > 20


def test_the_numbers_of_the_file_are_drawn(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "analysis").mkdir()
    table = tmp_path / "analysis" / "guidance.csv"
    table.write_text(f"{HEADER}\nguidance 1,20,3,0.5,0.1,1.5,\n")
    told = []
    monkeypatch.setattr(
        figures, "plot_lines", lambda *args: (told.append(args), args[-1].write_bytes(b"a"))
    )
    draw_figures(tmp_path, tmp_path)
    ((lines, across, by, measures, _),) = told
    assert (across, by) == ("iteration", "variant") and "success" in measures
    assert lines[0]["variant"] == "guidance 1" and lines[0]["success"] == 0.5
    spread = read_lines(table, "variant")[0]["psnr_truth_gain_spread"]
    assert spread != spread  # an empty cell is unknown
