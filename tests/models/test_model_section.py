"""What a configuration says of networks is what is built."""

from configs.loader import load_config
from models.heads import ResidualLayer
from rl_platform.core.spec import ActionSpec, EnvSpec
from rl_platform.runtime.build import make_network
from tests.models.networks import count

FRAMES = EnvSpec("test", (4, 84, 84), "uint8", ActionSpec("categorical", 18), frame_stack=4)


def test_rnd_reprs_network_by_its_keys():
    sections = ["--model.heads=residual", "--model.encoder.hidden=[256]", "--model.encoder.embedding=448",
                "--model.encoder.last_layer=conv"]  # fmt: skip
    network = make_network(load_config("atari/pong_impala", sections), FRAMES)
    assert isinstance(network.value[0], ResidualLayer)
    assert network.encoder.representation_shape == (64, 7, 7)
    assert count(network.encoder) == 996_192


def test_by_default_one_layer_follows_the_convolutions_and_one_is_each_head():
    network = make_network(load_config("atari/pong_impala"), FRAMES)
    assert network.encoder.representation_shape == (512,)
    assert [name for name, _ in network.named_parameters() if not name.startswith("encoder.conv")] == [
        "encoder.linear.weight", "encoder.linear.bias", "policy.weight", "policy.bias", "value.weight", "value.bias",
    ]  # fmt: skip
