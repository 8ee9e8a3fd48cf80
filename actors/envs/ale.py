"""Atari games through ALE's C++ vector environment.

What ale-py 0.12.1 does, seen on the real thing (tests/actors/envs/test_ale*.py), and what is made of it here:

* `reward_clipping=True`, `num_threads=0` (every core) and seeds drawn at random are its defaults: all are overridden.
* `episodic_life=True` restarts the whole game at a life loss, and `life_loss_info=True` reports a life loss at
  the time limit as terminated alone, though it resets. Neither is used: life losses are read off `info["lives"]`.
* An action out of range kills the step in a C++ thread, and the call never returns: actions are checked first.
* A reset presses FIRE for one frame if asked (and the game has it), then NOOP up to a total of `noop_max` − 1
  frames, so 0..29 frames for 30 where the Gym wrappers take 1..30. The time limit counts none of them.
* FIRE is pressed at resets only: after a life loss the agent has to serve by itself, and sticky actions may
  swallow the FIRE of a reset. Seeds such as 1, 2, 3 make that happen to all environments alike: pass derived ones.
* A reset clears the stack to zeros and adds the first frame: `rl_platform.core.frames.stack_frames` rebuilds it.
* The frame at which a game ends is not captured; the last observation shows the frames before it.
* Building an environment takes 70 ms of one core and starting it from a seed as long again: both load the ROM, and
  ALE then computes a table of blended colours. The constructor builds them one after another and holds the GIL all
  the while, however many threads there are; only the seeded start uses them. A reset between games takes 4 ms.
* Every call allocates new arrays and hands them over; freeing the interface joins its threads, `close()` does not.
"""

import difflib

import numpy as np
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv

from actors.envs.seeds import checked_seeds
from rl_platform.core.interfaces import StepResult
from rl_platform.core.spec import ActionSpec, EnvSpec


class AleVectorEnv:
    """N copies of one Atari game: grey frames, [N, frame_stack, image_size, image_size] uint8, oldest frame first.

    Arguments:
      game: ROM name in snake case, e.g. "montezuma_revenge".
      seeds: [N] int32. Without sticky actions a seed decides only how many no-ops follow each reset.
      frame_skip: emulator frames for which an action is repeated; an env step is this many frames.
      noop_max: a reset waits for fewer than this many frames, at random; 0: none.
      fire_reset: press FIRE at each reset, in games that have it.
      life_loss_terminates: a life loss with lives left is `terminated`, though the game goes on.
      sticky_actions: probability, each frame, that the emulator repeats its previous action.
      full_action_space: all 18 actions of the console, not only those that the game uses.
      max_episode_frames: a game is truncated after this many emulator frames.
      maxpool: a frame is the pixel-wise maximum of the last two emulator frames, against sprite flicker.
      threads: C++ threads that step the environments (ALE takes no more than there are cores).
    """

    def __init__(
        self,
        *,
        game: str,
        seeds: np.ndarray,
        frame_skip: int = 4,
        frame_stack: int = 4,
        image_size: int = 84,
        noop_max: int = 30,
        fire_reset: bool = True,
        life_loss_terminates: bool = False,
        sticky_actions: float = 0.0,
        full_action_space: bool = False,
        max_episode_frames: int = 108_000,
        maxpool: bool = True,
        threads: int = 1,
    ):
        self._seeds = checked_seeds(seeds)
        check_settings(game, sticky_actions, noop_max, frame_skip=frame_skip, frame_stack=frame_stack,
                       image_size=image_size, threads=threads, max_episode_frames=max_episode_frames)  # fmt: skip
        self.num_envs = len(self._seeds)
        self._env = AtariVectorEnv(
            game,
            self.num_envs,
            num_threads=threads,
            max_num_frames_per_episode=max_episode_frames,
            repeat_action_probability=sticky_actions,
            full_action_space=full_action_space,
            img_height=image_size,
            img_width=image_size,
            stack_num=frame_stack,
            frameskip=frame_skip,
            maxpool=maxpool,
            noop_max=noop_max,
            reward_clipping=False,
            use_fire_reset=fire_reset,
        )
        self.spec = EnvSpec(
            name=game,
            observation_shape=(frame_stack, image_size, image_size),
            observation_dtype="uint8",
            action=ActionSpec("categorical", int(self._env.single_action_space.n)),
            frame_stack=frame_stack,
            frame_skip=frame_skip,
        )
        self._life_loss_terminates = life_loss_terminates
        self._ended = np.zeros(self.num_envs, dtype=bool)
        self._lives = np.zeros(self.num_envs, dtype=np.int32)

    def reset(self) -> np.ndarray:
        """Start every environment from its seed, so that the same actions give the same games; [N, …] uint8."""
        observation, info = self._env.reset(seed=self._seeds)
        self._ended = np.zeros(self.num_envs, dtype=bool)
        self._lives = info["lives"]
        return observation

    def step(self, action: np.ndarray) -> StepResult:
        """Apply actions [N] int64. The arrays are new at every call; `episode_end` is the next call's `is_first`.

        A step that loses a life at the time limit is terminated and truncated both, as is true.
        """
        assert action.min() >= 0 and action.max() < self.spec.action.size, action
        observation, reward, terminated, truncated, info = self._env.step(action)
        is_first, valid = self._ended, ~self._ended
        self._ended = terminated | truncated
        if self._life_loss_terminates:
            lives = info["lives"]
            terminated |= (lives < self._lives) & (lives > 0) & valid
            self._lives = lives
        return StepResult(observation, reward.astype(np.float32), terminated, truncated, valid, is_first, self._ended)

    def where(self) -> str:
        """The game; its environments are stepped together, so that no single one can be named."""
        return f"{self.num_envs} environments of ALE game {self.spec.name}"

    def close(self) -> None:
        """Free the emulators and join their threads; closing twice does nothing."""
        self._env.ale = None


def check_settings(game: str, sticky_actions: float, noop_max: int, **positive: int) -> None:
    """ValueError unless the game is known, `sticky_actions` a probability, and every `positive` setting at least 1."""
    _check_game(game)
    _check_at_least(1, **positive)
    _check_at_least(0, noop_max=noop_max)
    if not 0.0 <= sticky_actions <= 1.0:
        raise ValueError(f"sticky_actions is a probability, got {sticky_actions}")


def _check_game(game: str) -> None:
    known = roms.get_all_rom_ids()
    if game not in known:
        nearest = difflib.get_close_matches(game.lower(), known, n=1, cutoff=0.0)[0]
        raise ValueError(f"unknown ALE game {game!r}; the nearest is {nearest!r} (names are in snake case)")


def _check_at_least(minimum: int, **settings: int) -> None:
    for name, value in settings.items():
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {value}")
