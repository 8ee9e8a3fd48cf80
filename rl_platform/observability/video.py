"""Videos of episodes."""

import contextlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Encode RGB frames, each [H, W, 3] uint8, as H.264 in an mp4 file; holds one frame at a time.

    The format wants even sizes: an odd height or width grows by one, repeating the last row or column. The file gets
    its name when it is complete; an encoder that could not complete it (a full disk) raises an OSError.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"no frames for {path}: the environment rendered nothing")
    temporary = path.with_name(f".{path.stem}.tmp.mp4")
    try:
        written = _encode(temporary, first, frames, fps)
        _check(temporary, written)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _encode(path: Path, first: np.ndarray, rest: Iterable[np.ndarray], fps: float) -> int:
    """Send every frame to ffmpeg; returns their number.

    Differs from imageio's own writer, which works on the same encoder: present releases pass it options
    that imageio-ffmpeg 0.3 does not know, and procgen's gym3 holds that version.
    """
    from imageio_ffmpeg import write_frames  # finds its ffmpeg when imported: only when a video is written

    height, width, _ = _even(first).shape
    size = (width, height)
    encoder = write_frames(
        str(path), size, fps=fps, codec="libx264", macro_block_size=2, ffmpeg_log_level="error", ffmpeg_timeout=0
    )
    count = 0
    with contextlib.closing(encoder):
        encoder.send(None)  # starts ffmpeg
        for frame in itertools.chain([first], rest):
            assert frame.shape == first.shape, "every frame of a video has one size"
            encoder.send(np.ascontiguousarray(_even(frame)))
            count += 1
    return count


def _check(path: Path, num_frames: int) -> None:
    """The file holds that many frames (ffmpeg's own failure is not reported by imageio-ffmpeg)."""
    from imageio_ffmpeg import count_frames_and_secs

    try:
        found, _ = count_frames_and_secs(str(path))
    except RuntimeError as error:
        raise OSError(f"ffmpeg did not complete {path}; is the disk full?") from error
    if found != num_frames:
        raise OSError(f"ffmpeg wrote {found} of {num_frames} frames to {path}")


def _even(frame: np.ndarray) -> np.ndarray:
    """[H, W, 3] with even H and W."""
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
