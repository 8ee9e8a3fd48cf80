"""One process: environments that hang or cannot be played, and environments that show images."""

import json
import logging
import threading

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from actors.envs.gymnasium_env import GymnasiumVectorEnv
from actors.rollout_worker import RolloutWorker
from actors.uniform_policy import UniformPolicy
from configs.loader import load_config
from rl_platform.core.types import Weights
from rl_platform.runtime.checkpoint import load_newest
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.hangs import hangs_named
from rl_platform.runtime.train import train

SMALL = [
    "--cluster.mode=inline", "--actors.envs_per_actor=2", "--actors.unroll_length=10", "--learner.batch_columns=2",
    "--logging.progress=off", "--logging.tensorboard=false",
]  # fmt: skip
OVERLAPPED = "--cluster.pipeline=overlapped"


class Fails(gymnasium.Env):
    """Every step pays 1. After 100 of them it hangs until `released`, or breaks so that it cannot be started again."""

    observation_space = Box(0, 1, (3,), np.float32)
    action_space = Discrete(2)
    released = threading.Event()
    broken = False

    def __init__(self, way: str):
        self.way, self.steps, self.released = way, 0, Fails.released

    def reset(self, *, seed=None, options=None):
        if Fails.broken:
            raise OSError("no display")
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        if self.steps > 100 and self.way == "hangs":
            self.released.wait()
        if self.steps > 100 and self.way == "breaks":
            Fails.broken = True
            raise OSError("display lost")
        return self.observation_space.sample(), 1.0, False, False, {}


class Pictures(gymnasium.Env):
    """Images [H, W, C] of noise; the action has to tell whether they are bright."""

    observation_space = Box(0, 255, (40, 36, 3), np.uint8)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._picture(), {}

    def step(self, action):
        reward = float(action == self._bright)
        return self._picture(), reward, bool(self.np_random.random() < 0.1), False, {}

    def _picture(self):
        self._bright = bool(self.np_random.random() < 0.5)
        return self.np_random.integers(0, 128, (40, 36, 3), np.uint8) + np.uint8(127 * self._bright)


gymnasium.register("Fails-v0", entry_point=Fails)
gymnasium.register("Pictures-v0", entry_point=Pictures)


@pytest.fixture(autouse=True)
def _whole_environments():
    Fails.released, Fails.broken = threading.Event(), False
    yield
    Fails.released.set()
    for thread in collectors():  # left behind in an environment
        thread.join(10)
    assert collectors() == []


def collectors() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "collector"]


def run(directory, env_id, *overrides):
    return train(load_config("classic/cartpole_impala", [f"--env.id={env_id}", *SMALL, *overrides]), directory)


def saved(directory):
    found = load_newest(directory / "checkpoints", pytest.fail)
    assert found is not None
    return found[1]


@pytest.mark.slow
def test_overlapped_a_hanging_environment_does_not_keep_the_run_from_ending(tmp_path):
    summary, status = run(tmp_path, "Fails-v0", "--env.kwargs.way=hangs", OVERLAPPED, "--run.max_seconds=1")
    assert (status, summary["status"]) == (0, "done")
    assert saved(tmp_path)["env_steps"] == summary["env_steps"] > 0
    assert "(Fails-v0) has not returned for" in (tmp_path / "log.txt").read_text()


def test_overlapped_a_hang_fails_the_run_and_is_named(tmp_path):
    summary, status = run(tmp_path, "Fails-v0", "--env.kwargs.way=hangs", OVERLAPPED, "--actors.step_timeout_s=1")
    assert (status, summary["status"]) == (1, "failed")
    assert "RuntimeError: environment 0 of 2 (Fails-v0) has not returned for" in (tmp_path / "log.txt").read_text()
    assert saved(tmp_path)["env_steps"] == summary["env_steps"] > 0


def test_overlapped_an_error_of_the_collector_fails_the_run(tmp_path):
    summary, status = run(tmp_path, "Fails-v0", "--env.kwargs.way=breaks", OVERLAPPED)
    assert (status, summary["status"]) == (1, "failed")
    assert saved(tmp_path)["env_steps"] == summary["env_steps"] > 0
    log = (tmp_path / "log.txt").read_text()
    assert "RuntimeError: environment 0 of 2 (Fails-v0) could not be replaced" in log
    assert "no display" in log
    assert collectors() == []


def test_serial_a_hang_is_named_while_it_lasts():
    env = GymnasiumVectorEnv(env_id="Fails-v0", seeds=np.array([1], np.int32), kwargs={"way": "hangs"})
    policy = UniformPolicy(env.spec.action, seed=0)
    worker = RolloutWorker(env, policy, unroll_length=101, num_params=2, num_values=1, actor=0,
                           incarnation=0, task=np.zeros(1, np.int32))  # fmt: skip
    lines = []

    class Release(logging.Handler):
        """Ends the hang when it is reported: the test would otherwise never end."""

        def emit(self, record):
            lines.append(record.getMessage())
            Fails.released.set()

    handler = Release()
    logging.getLogger("rl_platform").addHandler(handler)
    try:
        with hangs_named([worker], 0.2):
            worker.collect(Weights(0, np.zeros(0, np.float32)))
    finally:
        logging.getLogger("rl_platform").removeHandler(handler)
    assert len(lines) == 1
    assert lines[0].startswith("environment 0 of 1 (Fails-v0) has not returned for")
    assert [thread.name for thread in threading.enumerate() if thread.name == "watcher"] == []


@pytest.mark.parametrize("pipeline", ["serial", "overlapped"])
def test_image_observations_train_with_a_convolutional_encoder(tmp_path, pipeline):
    summary, status = run(tmp_path, "Pictures-v0", "--model.encoder.kind=nature_cnn", "--model.encoder.embedding=16",
                          f"--cluster.pipeline={pipeline}", "--run.total_env_steps=400")  # fmt: skip
    assert (status, summary["status"]) == (0, "done")
    assert summary["learner_updates"] >= 10
    assert saved(tmp_path)["model"]["encoder.conv1.weight"].shape == (32, 3, 8, 8)


@pytest.mark.parametrize(
    ("env_id", "kind", "right"), [("Pictures-v0", "mlp", "nature_cnn"), ("CartPole-v1", "nature_cnn", "mlp")]
)
def test_an_encoder_that_does_not_fit_is_answered_with_the_one_that_does(tmp_path, env_id, kind, right):
    remedy = rf"^model.encoder.kind: {env_id} .* {kind} cannot read; set model.encoder.kind to {right}$"
    with pytest.raises(InputError, match=remedy):
        run(tmp_path, env_id, f"--model.encoder.kind={kind}")
    assert list(tmp_path.iterdir()) == []


def test_asynchronous_ppo_learns_from_weights_one_update_old_at_most(tmp_path):
    """What is collected during an update was acted by the weights of before it, and nothing is dropped for its age."""
    lagging = ["--learner.estimator=vtrace", "--learner.epochs=2", "--actors.max_policy_lag=1"]
    config = load_config("classic/cartpole_ppo", [*SMALL, OVERLAPPED, *lagging, "--run.total_env_steps=3000"])
    summary, status = train(config, tmp_path)
    assert status == 0
    assert 0 < summary["policy_lag_mean"] <= 1
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert row["columns_dropped"] == 0
