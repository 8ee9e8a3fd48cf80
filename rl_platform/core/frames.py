"""Frame stacks from single frames: stored once, stacked where they are used."""

import torch
from torch import Tensor


def stack_frames(frames: Tensor, is_first: Tensor, stack: int, times: Tensor | None = None) -> Tensor:
    """Rebuild the stacks that the environment showed.

    A stack holds the frames of the last `stack` times, oldest first; frames from before the episode's first
    observation are zero, which is the padding of ALE's vector environment after a reset.

    Args:
      frames: [T+S, B, H, W]; row S−1+t is the frame of time t, the S−1 rows before are the history of time 0.
      is_first: [T+1, B] bool.
      stack: S.
      times: [K] the times whose stacks are wanted; None: all, K = T+1.

    Returns:
      [K, B, S, H, W], in the frames' dtype and in channels-last memory format (after merging the first two axes),
      in which convolutions want it: converting bytes to floats is then one contiguous pass.
    """
    count = is_first.shape[0]
    assert frames.shape[0] == count + stack - 1, (frames.shape, is_first.shape, stack)
    rows = [slice(k, k + count) if times is None else times + k for k in range(stack)]
    stacks = torch.stack([frames[row] for row in rows], dim=-1).movedim(-1, 2)
    earlier = _earlier_episode(is_first, stack)
    earlier = earlier if times is None else earlier[times]
    stacks[earlier.nonzero(as_tuple=True)] = 0  # few: far cheaper than a mask over all
    return stacks


def _earlier_episode(is_first: Tensor, stack: int) -> Tensor:
    """[T+1, B, S] bool: the frame in this slot is older than the episode of the newest one (history rows included)."""
    times, columns = is_first.shape
    starts = torch.zeros(times + stack - 1, columns, dtype=torch.long, device=is_first.device)
    starts[stack - 1 :] = is_first.long()
    episode = starts.cumsum(0)
    return torch.stack([episode[k : k + times] < episode[stack - 1 :] for k in range(stack)], dim=2)
