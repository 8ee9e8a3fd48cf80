"""The picture that a person would see, of a game that AleVectorEnv plays in grey 84 × 84."""

import numpy as np
from ale_py.vector_env import AtariVectorEnv

HEIGHT, WIDTH = 210, 160


class AleScreen:
    """A twin of one environment, in colour: same game, seed and settings, fed the same actions.

    ALE's emulator, no-ops and sticky actions depend on the seed alone, so the twin shows the very same game.

    Arguments as for AleVectorEnv, with one seed; what only concerns the network's view is left out.
    """

    def __init__(self, *, game: str, seed: int, frame_skip: int, noop_max: int, fire_reset: bool, sticky_actions: float,
                 full_action_space: bool, max_episode_frames: int):  # fmt: skip
        self._env = AtariVectorEnv(
            game,
            1,
            num_threads=1,
            grayscale=False,
            img_height=HEIGHT,
            img_width=WIDTH,
            stack_num=1,
            frameskip=frame_skip,
            noop_max=noop_max,
            use_fire_reset=fire_reset,
            repeat_action_probability=sticky_actions,
            full_action_space=full_action_space,
            max_num_frames_per_episode=max_episode_frames,
            reward_clipping=False,
        )
        self._picture, _ = self._env.reset(seed=np.array([seed], np.int32))

    def picture(self) -> np.ndarray:
        """[210, 160, 3] uint8."""
        return self._picture[0, 0]

    def step(self, action: np.ndarray) -> None:
        """Apply the actions [N] that the environments were given; the twin follows the first."""
        self._picture = self._env.step(action[:1])[0]
