"""Encoders: observations [N, …] → features [N, embedding].

Each takes the shape and dtype of one observation, tells by `fits` whether it can read such observations, and in
`reads` says which those are. `represent` gives what exploration bonuses and self-supervised losses read
[N, *representation_shape]: the features themselves, unless an encoder says otherwise.
"""

from models.encoders.grid_cnn import GridCnn
from models.encoders.mlp import Mlp
from models.encoders.nature_cnn import NatureCnn

ENCODERS = {"nature_cnn": NatureCnn, "grid_cnn": GridCnn, "mlp": Mlp}
"""By the name that configurations use; the keys beside `kind` there are the constructor's keyword arguments."""
