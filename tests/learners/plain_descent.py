"""Settings of learners whose updates slow references repeat: gradient descent on a mean loss."""

from functools import partial

import torch

SGD = partial(torch.optim.SGD, lr=0.0)
ENTROPY, DISCOUNT, DECAY, CLIP, VALUE_WEIGHT = 0.02, 0.9, 0.8, 0.1, 0.7
SLOWLY = {"optimizer": SGD, "dtype": torch.float64, "reduction": "mean", "reward_transform": "none",
          "discount": DISCOUNT, "trace_decay": DECAY, "ratio_clip": CLIP, "value_weight": VALUE_WEIGHT,
          "entropy": ENTROPY}  # fmt: skip
