"""The learning curve, read back as pixels."""

import matplotlib.image
import numpy as np
import pytest

from rl_platform.observability.curve import write_curve
from rl_platform.observability.files import to_json

BLUE, ORANGE = (31, 119, 180), (255, 127, 14)


def write_metrics(run_dir, returns, frame_skip: int = 4):
    run_dir.mkdir()
    rows = [
        {
            "env_steps": 1000 * k,
            "env_frames": frame_skip * 1000 * k,
            "episode_return_mean": value,
            "episode_return_latest": value,
        }
        for k, value in enumerate(returns)
    ]
    (run_dir / "metrics.jsonl").write_bytes(b"".join(map(to_json, rows)))
    return run_dir


def places_of(png, color) -> np.ndarray:
    """Rows and columns [K, 2] of the pixels of a colour."""
    pixels = np.round(matplotlib.image.imread(png)[..., :3] * 255)
    return np.argwhere((pixels == color).all(-1))


def test_a_rising_return_is_a_line_from_lower_left_to_upper_right(tmp_path):
    run_dir = write_metrics(tmp_path / "pong", [None, None, *np.linspace(-21.0, 20.0, 40)])
    write_curve([run_dir], tmp_path / "curve.png")
    line = places_of(tmp_path / "curve.png", BLUE)
    leftmost, rightmost = line[line[:, 1].argmin()], line[line[:, 1].argmax()]
    assert rightmost[1] - leftmost[1] > 500
    assert leftmost[0] - rightmost[0] > 300


def test_several_runs_have_a_line_each(tmp_path):
    first = write_metrics(tmp_path / "first", [0.0, 1.0, 2.0])
    second = write_metrics(tmp_path / "second", [2.0, 1.0, 0.0], frame_skip=2)
    write_curve([first, second / "metrics.jsonl"], tmp_path / "curve.png")
    assert len(places_of(tmp_path / "curve.png", BLUE)) > 1000
    assert len(places_of(tmp_path / "curve.png", ORANGE)) > 1000


@pytest.mark.parametrize("returns", [[], [None, None]])
def test_a_run_without_finished_episodes_still_gets_a_picture(tmp_path, returns):
    run_dir = write_metrics(tmp_path / "short", returns)
    write_curve([run_dir], tmp_path / "curve.png")
    assert matplotlib.image.imread(tmp_path / "curve.png").shape == (675, 1200, 4)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"metrics\.jsonl does not exist: give a run's folder"):
        write_curve([tmp_path], tmp_path / "curve.png")
