"""The network: the `model` section, one alternative per encoder."""

from typing import Annotated, Literal

from pydantic import Field

from configs.section import SEQUENCE, Section, key


class NatureCnn(Section):
    """The convolutional encoder of Mnih et al. 2015, for stacks of frames."""

    kind: Literal["nature_cnn"] = key("nature_cnn", "Which encoder.")
    embedding: int = key(512, "Width of the last layer.", unit="features", ge=1, le=65_536)


class Mlp(Section):
    """Fully connected layers, for vector observations."""

    kind: Literal["mlp"] = key("mlp", "Which encoder.")
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = key(
        (64, 64), "Widths of the layers, first to last.", unit="features", min_length=1, **SEQUENCE
    )
    activation: Literal["tanh", "relu"] = key("tanh", "What follows each layer.")


class ModelConfig(Section):
    """Encoder, then policy and value heads."""

    encoder: NatureCnn | Mlp = key(NatureCnn(), "What turns observations into features.", discriminator="kind")
    separate_value: bool = key(False, "Give the value head an encoder of its own, built like the policy's.")
    normalize_observations: bool = key(
        False, "Bring vector observations to mean 0 and standard deviation 1 by running moments, clipped to ±10."
    )
    precision: Literal["auto", "fp32", "bf16"] = key(
        "auto", "Numeric type of the network's arithmetic; auto: bf16 where the processor has it. Weights stay fp32."
    )
