"""What the learner makes of rewards."""

from typing import Literal

import torch
from torch import Tensor

RewardTransform = Literal["clamp", "sign", "none"]


def transform_reward(reward: Tensor, transform: RewardTransform) -> Tensor:
    """What the learner sees of rewards, scaled already: clamped to ±1, their sign, or as they are. NaN stays NaN."""
    if transform == "clamp":
        return reward.clamp(-1.0, 1.0)
    if transform == "sign":  # torch's sign of NaN is 0, which would hide a broken environment
        return torch.where(reward.isnan(), reward, reward.sign())
    return reward
