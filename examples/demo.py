"""Train on one Atari game over a local Ray, and show that something was learned.

    make demo                    or    python examples/demo.py [--section.key value …]

Trains `configs/demo.yaml`, then plays 20 whole games with the trained policy and 20 with random actions. Exit status 1
if the trained policy is not clearly better: its mean − 2 standard errors above the random one's mean + 2.
"""

import sys
from collections import deque

from actors.uniform_policy import UniformPolicy
from configs.loader import load_config
from configs.schema import Config
from rl_platform.core.seeding import derive_seeds
from rl_platform.runtime import build_envs
from rl_platform.runtime.evaluation import evaluate_run
from rl_platform.runtime.play import Games, mean_and_error, play
from rl_platform.runtime.train import run_directory, train

EPISODES = 20


def random_play(config: Config) -> tuple[float, float]:
    """Mean return of the random policy, and its standard error."""
    env = build_envs.make_env(config, derive_seeds(config.run.seed, EPISODES, "random"))
    games = Games(EPISODES, env.num_envs)
    policy = UniformPolicy(env.spec.action, config.run.seed)
    deque(games.watch(play(policy, env, greedy=False)), maxlen=0)
    env.close()
    return mean_and_error(games.played)


def main() -> int:
    """Train, evaluate, compare; returns the exit status."""
    config = load_config("demo", sys.argv[1:])
    directory = run_directory(config)
    _, status = train(config, directory)
    if status:
        return status
    trained = evaluate_run(directory, episodes=EPISODES, greedy=False, video=True)
    random_mean, random_error = random_play(config)
    learned = trained.mean - 2 * trained.standard_error > random_mean + 2 * random_error
    print(f"{config.env.id}, {EPISODES} whole games each, mean return ± standard error")
    print(f"  random actions  {random_mean:8.2f} ± {random_error:.2f}")
    print(f"  trained policy  {trained.mean:8.2f} ± {trained.standard_error:.2f}")
    print(f"  learned: {'yes' if learned else 'NO'} (mean − 2 errors above the random policy's mean + 2 errors)")
    print(f"video:      {trained.video}\ncurve:      {directory / 'curve.png'}\ncheckpoint: {trained.checkpoint}")
    return 0 if learned else 1


if __name__ == "__main__":
    sys.exit(main())
