import csv
import math

import pytest

from i2i_dds.evaluation.measure import EditRow
from i2i_dds.evaluation.summary import Evaluation

NAN = float("nan")


def row(key: str, task: str = "cat2lion", success: float = 1.0, **changes: float) -> EditRow:
    values = {"psnr_truth": 20.0, "psnr_truth_source": 15.0, "psnr_backdrop": 24.0, **changes}
    values["psnr_truth_gain"] = values["psnr_truth"] - values["psnr_truth_source"]
    values |= {"psnr_truth_source_recon": 14.0, "sharpness": 0.05, "sharpness_source": 0.04}
    return EditRow(key, task, {"success": success, **values}, seconds=0.25)


def test_metrics_are_means_over_the_rows() -> None:
    rows = row("a"), row("b", success=0.0, psnr_truth=10.0), row("c", psnr_backdrop=NAN)
    found = Evaluation(rows, nonfinite=7).metrics()
    assert found["n"] == 3 and found["nonfinite"] == 7 and "tasks" not in found
    assert found["success"] == pytest.approx(2 / 3)
    assert found["psnr_truth"] == pytest.approx(50 / 3)
    assert found["psnr_truth_source"] == 15 and found["psnr_truth_source_recon"] == 14
    assert found["psnr_truth_gain"] == pytest.approx(50 / 3 - 15)
    assert found["psnr_backdrop"] == 24  # of the two that have it
    assert found["sharpness"] == pytest.approx(0.05) and found["seconds_per_image"] == 0.25


def test_a_number_that_nobody_has_is_none() -> None:
    assert Evaluation((row("a", success=NAN),)).metrics()["success"] is None


def test_each_task_of_a_set_has_its_means() -> None:
    rows = row("a"), row("b", "cat2dog", 0.0)
    found = Evaluation(rows).metrics()
    assert found["success"] == 0.5
    assert {name: part["success"] for name, part in found["tasks"].items()} == {
        "cat2lion": 1,
        "cat2dog": 0,
    }


def test_processes_merge_to_the_same_as_one() -> None:
    rows = tuple(row(f"{i:02}", success=float(i % 2), psnr_truth=20 + i / 7) for i in range(9))
    parts = [Evaluation(rows[i::2], nonfinite=1) for i in range(2)]
    padded = Evaluation((*parts[1].rows, rows[0]), 1)
    whole = Evaluation(rows, 2)
    assert Evaluation.merge([padded, parts[0]]) == whole
    assert Evaluation.merge([parts[0], padded]).metrics() == whole.metrics()


def test_rows_are_written_as_a_table(tmp_path) -> None:
    Evaluation((row("a", success=NAN), row("b"))).write_csv(tmp_path / "rows.csv")
    first, second = csv.DictReader((tmp_path / "rows.csv").open())
    assert first["key"] == "a" and first["success"] == "" and float(first["psnr_truth"]) == 20
    assert float(second["success"]) == 1 and math.isclose(float(second["seconds"]), 0.25)
