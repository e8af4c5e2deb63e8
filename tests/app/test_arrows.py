from PIL import Image

from i2i_dds.app.arrows import HANDLE, TARGET, clicked, pairs, with_arrows


def test_a_click_on_the_enlarged_picture_is_a_pixel_of_the_picture() -> None:
    assert clicked((7 * 30 + 3, 7 * 36), (64, 64)) == (30, 36)
    assert clicked((10_000, -5), (64, 64)) == (63, 0)


def test_a_handle_without_its_target_is_left_out() -> None:
    assert pairs([(1, 2), (3, 4), (5, 6)]) == [[1, 2, 3, 4]]
    assert pairs([]) == []


def test_handles_are_red_and_targets_blue() -> None:
    drawn = with_arrows(Image.new("RGB", (64, 64)), [(10, 10), (50, 50)])
    assert drawn.getpixel((73, 73)) == HANDLE and drawn.getpixel((353, 353)) == TARGET
