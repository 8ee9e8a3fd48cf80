"""Vector observations brought to one scale, whatever units they have."""

import torch
from torch import Tensor, nn

from rl_platform.core.spec import EnvSpec

CLIP = 10.0
"""Normalised numbers are clipped to ± this, so that an outlier cannot drown the rest."""
MIN_STD = 1e-4
"""What varies less is divided by this: a number that has been constant so far is not blown up without bound."""


class ObservationNormalizer(nn.Module):
    """(x − mean) / std, clipped to ±`CLIP`; x unchanged, but for the clipping, until `set` is called.

    The moments are parameters that no loss trains: so they travel with the weights, and every policy sees observations
    as the learner did when it published that version. They are in checkpoints by name. Their gradient stays 0, and
    optimisers without weight decay leave them where they are.
    """

    def __init__(self, observation_shape: tuple[int, ...]):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(observation_shape), requires_grad=False)
        self.std = nn.Parameter(torch.ones(observation_shape), requires_grad=False)

    def forward(self, observation: Tensor) -> Tensor:
        """[N, *observation_shape] of any numeric type → the same shape in the moments' dtype, float32."""
        return ((observation - self.mean) / self.std).clamp(-CLIP, CLIP)

    @torch.no_grad()
    def set(self, mean: Tensor, std: Tensor) -> None:
        """Use these moments [*observation_shape] from now on; `std` is raised to `MIN_STD` where it is less."""
        assert mean.shape == std.shape == self.mean.shape, (mean.shape, std.shape, self.mean.shape)
        self.mean.copy_(mean)
        self.std.copy_(std.clamp_min(MIN_STD))


def check_normalizable(spec: EnvSpec) -> None:
    """Refuse to normalise what is not a vector.

    Raises:
      ValueError: the text says how to mend it.
    """
    if len(spec.observation_shape) != 1:
        raise ValueError(f"model.normalize_observations: {spec.name} has observations of {spec.observation_dtype} "
                         f"{spec.observation_shape}, and only vectors are normalised; set it to false")  # fmt: skip
