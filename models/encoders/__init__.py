"""Encoders: observations [N, …] → features [N, embedding]. Each takes the shape and dtype of one observation."""

from models.encoders.mlp import Mlp
from models.encoders.nature_cnn import NatureCnn

ENCODERS = {"nature_cnn": NatureCnn, "mlp": Mlp}
"""By the name that configurations use; the keys beside `kind` there are the constructor's keyword arguments."""
