from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_dds import UserError, example_picture
from i2i_dds.app import pictures
from i2i_dds.app.pictures import painted_mask, read_upload, shown, shown_factor, working_size


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_each_kind_that_is_promised_is_read(tmp_path: Path, kind: str) -> None:
    example_picture().save(tmp_path / "a.png", kind)
    assert read_upload(tmp_path / "a.png").size == (64, 64)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "EPS", "PPM", "ICO", "PDF"])
def test_another_kind_is_refused_whatever_its_name(tmp_path: Path, kind: str) -> None:
    example_picture().save(tmp_path / "a.png", kind)
    with pytest.raises(UserError, match="cannot be read; give a PNG, JPEG, WEBP or BMP"):
        read_upload(tmp_path / "a.png")


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"?" * 50)
    with pytest.raises(UserError, match="cannot be read"):
        read_upload(tmp_path / "a.png")


def test_bounds_on_bytes_and_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example_picture().save(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "MOST_PIXELS", 64 * 64 - 1)
    with pytest.raises(UserError, match="megapixels"):
        read_upload(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="MB"):
        read_upload(tmp_path / "a.png")


def test_a_large_picture_gets_the_teachers_area_and_keeps_its_shape() -> None:
    assert working_size((128, 100), 64, 4) is None
    width, height = working_size((1017, 761), 64, 4) or (0, 0)
    assert (width, height) == (72, 56)
    assert working_size((10_000, 20), 64, 4) == (1432, 8)


def test_painted_is_white_and_of_the_pictures_size() -> None:
    layer = np.zeros((100, 100, 4), np.uint8)
    layer[:50, :, 3] = 1
    mask = np.asarray(painted_mask({"layers": [layer]}, (10, 10)))
    assert (mask[:5] == 255).all() and (mask[5:] == 0).all()
    with pytest.raises(UserError, match="nothing is painted"):
        painted_mask({"layers": [np.zeros_like(layer)]}, (10, 10))
    with pytest.raises(UserError, match="nothing is painted"):
        painted_mask(None, (10, 10))


def test_small_pictures_are_enlarged_by_whole_factors() -> None:
    assert shown(Image.new("RGB", (64, 32))).size == (448, 224)
    assert shown_factor((500, 10)) == 1
