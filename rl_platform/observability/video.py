"""Videos of episodes."""

import itertools
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Encode RGB frames, each [H, W, 3] uint8, as H.264 in an mp4 file; holds one frame at a time.

    The format wants even sizes: an odd height or width grows by one, repeating the last row or column. The file gets
    its name when it is complete.
    """
    import av  # its FFmpeg libraries are large: only when a video is written

    frames = map(_even, frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"no frames for {path}: the environment rendered nothing")
    temporary = path.with_name(f".{path.stem}.tmp.mp4")
    try:
        with av.open(str(temporary), "w") as video:
            stream = video.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
            stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "yuv420p"
            for frame in itertools.chain([first], frames):
                video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            video.mux(stream.encode())  # what the encoder still holds
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _even(frame: np.ndarray) -> np.ndarray:
    """[H, W, 3] with even H and W."""
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
