"""Each backend of environments trains, plays whole games, and is shown."""

from importlib.util import find_spec

import av
import pytest

from configs.loader import load_config
from rl_platform.runtime.evaluation import evaluate_run
from rl_platform.runtime.train import train
from tests.runtime.launched import INLINE

SHORT = [
    *INLINE, "--actors.envs_per_actor=2", "--actors.unroll_length=5", "--learner.batch_columns=2",
    "--model.encoder.embedding=16", "--run.total_env_steps=20", "--logging.progress=off", "--logging.tensorboard=false",
]  # fmt: skip
GRID = ["--model.encoder.kind=grid_cnn", "--model.encoder.categories=[11, 6, 3, 4]", "--env.max_episode_steps=15"]
FRAMES = ["--model.encoder.kind=nature_cnn"]
CASES = {
    "minigrid": ["--env.backend=minigrid", "--env.id=MiniGrid-MultiRoom-N6-v0", "--env.level_seed=1", *GRID],
    "minigrid-pool": ["--env.backend=minigrid", "--env.id=MiniGrid-DoorKey-8x8-v0", "--env.engine=envpool", *GRID],
    "mario": ["--env.backend=mario", "--env.id=SuperMarioBros-v0", "--env.max_episode_frames=60", *FRAMES],
    "pixels": ["--env.pixels.image_size=84", "--env.max_episode_steps=15", *FRAMES],
}
PICTURES = {"minigrid": (800, 800), "minigrid-pool": (256, 256), "mario": (240, 256), "pixels": (400, 600)}


@pytest.mark.parametrize("case", CASES)
def test_a_backend_trains_and_is_shown(case, tmp_path):
    if case == "minigrid-pool" and find_spec("envpool") is None:
        pytest.skip("envpool is not installed")
    _, status = train(load_config("classic/cartpole_impala", [*CASES[case], *SHORT]), tmp_path / "run")
    assert status == 0
    report = evaluate_run(tmp_path / "run", episodes=2, greedy=False, video=True, seed=5)
    assert all(1 <= episode.length <= 15 for episode in report.episodes)
    with av.open(str(report.video)) as video:
        shown = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(shown) == report.episodes[0].length
    assert {picture.shape for picture in shown} == {(*PICTURES[case], 3)}
    assert any((picture != shown[0]).any() for picture in shown)
