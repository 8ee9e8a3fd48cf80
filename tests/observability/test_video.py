"""Videos, read back frame by frame."""

from collections.abc import Iterator

import av
import numpy as np
import pytest

from rl_platform.observability.video import write_video


def gray_frames(count: int, height: int, width: int) -> Iterator[np.ndarray]:
    for k in range(count):
        yield np.full((height, width, 3), 10 * k, np.uint8)


@pytest.mark.parametrize(("height", "width"), [(210, 160), (63, 85), (84, 84)])
def test_every_frame_is_read_back(tmp_path, height, width):
    path = tmp_path / "episode.mp4"
    write_video(path, gray_frames(20, height, width), fps=15)
    with av.open(str(path)) as video:
        assert video.streams.video[0].average_rate == 15
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert [frame.shape for frame in frames] == [(height + height % 2, width + width % 2, 3)] * 20
    brightness = [frame.mean() for frame in frames]
    np.testing.assert_allclose(brightness, 10 * np.arange(20), atol=4)  # lossy, and YUV has 8 bits
    assert list(tmp_path.iterdir()) == [path]


def test_no_frames_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no frames for .*episode\.mp4"):
        write_video(tmp_path / "episode.mp4", iter(()), fps=30)
    assert not list(tmp_path.iterdir())


def test_frames_that_fail_leave_no_half_video(tmp_path):
    def failing() -> Iterator[np.ndarray]:
        yield from gray_frames(3, 64, 64)
        raise RuntimeError("the environment crashed")

    with pytest.raises(RuntimeError, match="the environment crashed"):
        write_video(tmp_path / "episode.mp4", failing(), fps=30)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_no_half_video(tmp_path, disk_of):
    noise = np.random.default_rng(1).integers(0, 256, (20, 210, 160, 3), np.uint8)
    with disk_of(20_000), pytest.raises(OSError, match="File too large"):
        write_video(tmp_path / "episode.mp4", noise, fps=15)
    assert not list(tmp_path.iterdir())
