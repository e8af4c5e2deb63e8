"""From a click to a training's pictures and curves, in a browser."""

import shutil

import pytest

from i2i_dds import UserError
from i2i_dds.app.runs_tab import RunsTab
from tests.app.test_run_folder import write_run


def test_a_training_is_shown_with_its_samples_curves_and_table(open_page, served_page) -> None:
    write_run(served_page.runs / "2026-01-01-cat2lion")
    page = open_page()
    page.get_by_role("tab", name="Runs").click()
    page.wait_for_selector("#runs-status .done:has-text('psnr_truth_gain 1.25')")
    assert page.input_value("#runs-run input") == "2026-01-01-cat2lion"  # the newest, by itself
    page.wait_for_selector("#runs-samples :text('step 30')")
    assert page.locator("#runs-samples .thumbnail-item").count() >= 3
    for side in ("train", "val"):
        page.wait_for_selector(f"#runs-{side}-plot canvas, #runs-{side}-plot svg")
    table = page.inner_text("#runs-table")
    write_run(served_page.runs / "2026-01-02-later")
    page.click("#runs-refresh")
    page.wait_for_selector("#runs-status :has-text('2 found')")
    page.click("#runs-run input")
    page.get_by_role("option", name="2026-01-02-later").click()
    page.wait_for_selector("#runs-status .done")
    shutil.rmtree(served_page.runs / "2026-01-02-later")
    assert "cat2lion" in table and "task=<b>x</b>" in table  # as text


@pytest.mark.parametrize("name", ["../elsewhere/x", "/etc", "..", ""])
def test_a_name_that_is_no_run_leads_nowhere(tmp_path, name: str) -> None:
    write_run(tmp_path / "elsewhere/x")
    (tmp_path / "train").mkdir()
    tab = RunsTab.__new__(RunsTab)
    tab.roots = (tmp_path / "train",)
    with pytest.raises(UserError, match="none of this name"):
        tab._read(name)
