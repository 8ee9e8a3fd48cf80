"""The network: the `model` section, one alternative per encoder."""

from typing import Annotated, Literal

from pydantic import Field

from configs.section import SEQUENCE, Section, key


class NatureCnn(Section):
    """The convolutional encoder of Mnih et al. 2015, for stacks of frames."""

    kind: Literal["nature_cnn"] = key("nature_cnn", "Which encoder.")
    embedding: int = key(512, "Width of the last layer.", unit="features", ge=1, le=65_536)
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = key(
        (), "Widths of fully connected layers between the convolutions and the last one.", unit="features", **SEQUENCE
    )
    last_layer: Literal["linear", "conv"] = key(
        "linear", "What bonuses and losses that read the encoder see of it: its output, or the last convolution's."
    )


class GridCnn(Section):
    """Convolutions without stride, for grids of a few cells (MinAtar, MiniGrid)."""

    kind: Literal["grid_cnn"] = key("grid_cnn", "Which encoder.")
    channels: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = key(
        (16,), "Widths of the convolutions, first to last.", unit="channels", min_length=1, **SEQUENCE
    )
    kernel: int = key(3, "Height and width of the convolutions' windows.", unit="cells", ge=1, le=16)
    embedding: int = key(128, "Width of the last layer.", unit="features", ge=1, le=65_536)
    categories: tuple[Annotated[int, Field(ge=1, le=256)], ...] = key(
        (), "How many values each channel of the observation has, of which it holds one; []: channels are numbers.",
        unit="values", **SEQUENCE,
    )  # fmt: skip


class Mlp(Section):
    """Fully connected layers, for vector observations."""

    kind: Literal["mlp"] = key("mlp", "Which encoder.")
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = key(
        (64, 64), "Widths of the layers, first to last.", unit="features", min_length=1, **SEQUENCE
    )
    activation: Literal["tanh", "relu"] = key("tanh", "What follows each layer.")

    @property
    def embedding(self) -> int:
        """Width of the last layer, as other encoders name it."""
        return self.hidden[-1]


class ModelConfig(Section):
    """Encoder, then policy and value heads."""

    encoder: NatureCnn | GridCnn | Mlp = key(
        NatureCnn(), "What turns observations into features.", discriminator="kind"
    )
    heads: Literal["linear", "mlp", "residual"] = key(
        "linear", "Policy and value heads: one layer; two; or two, of which the values' first is a residual one."
    )
    separate_value: bool = key(False, "Give the value head an encoder of its own, built like the policy's.")
    normalize_observations: bool = key(
        False, "Bring vector observations to mean 0 and standard deviation 1 by running moments, clipped to ±10."
    )
    precision: Literal["auto", "fp32", "bf16"] = key(
        "auto", "Numeric type of the network's arithmetic; auto: bf16 where the processor has it. Weights stay fp32."
    )
