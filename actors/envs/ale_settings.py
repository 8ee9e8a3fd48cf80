"""How an Atari game is played and shown: what all engines that play it are told."""

import difflib
from dataclasses import dataclass

from ale_py import roms

from rl_platform.core.spec import ActionSpec, EnvSpec


@dataclass(frozen=True)
class AleSettings:
    """ValueError for a game that ALE does not have and for numbers out of range."""

    game: str
    """ROM name in snake case, e.g. "montezuma_revenge"."""
    frame_skip: int = 4
    """Emulator frames for which an action is repeated; an env step is this many frames."""
    frame_stack: int = 4
    image_size: int = 84
    noop_max: int = 30
    """A reset waits for fewer than this many frames, at random; 0: none."""
    fire_reset: bool = True
    """Press FIRE at each reset, in games that have it."""
    life_loss_terminates: bool = False
    """A life loss with lives left is `terminated`, though the game goes on."""
    sticky_actions: float = 0.0
    """Probability, each frame, that the emulator repeats its previous action."""
    full_action_space: bool = False
    """All 18 actions of the console, not only those that the game uses."""
    max_episode_frames: int = 108_000
    """A game is truncated after this many emulator frames."""
    maxpool: bool = True
    """A frame is the pixel-wise maximum of the last two emulator frames, against sprite flicker."""
    threads: int = 1
    """C++ threads that step the environments (ALE takes no more than there are cores)."""

    def __post_init__(self) -> None:
        known = roms.get_all_rom_ids()
        if self.game not in known:
            nearest = difflib.get_close_matches(self.game.lower(), known, n=1, cutoff=0.0)[0]
            raise ValueError(f"unknown ALE game {self.game!r}; the nearest is {nearest!r} (names are in snake case)")
        for name in ("frame_skip", "frame_stack", "image_size", "threads", "max_episode_frames", "noop_max"):
            least = 0 if name == "noop_max" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0.0 <= self.sticky_actions <= 1.0:
            raise ValueError(f"sticky_actions is a probability, got {self.sticky_actions}")

    def spec(self, num_actions: int) -> EnvSpec:
        """What an environment with these settings looks like."""
        return EnvSpec(
            name=self.game,
            observation_shape=(self.frame_stack, self.image_size, self.image_size),
            observation_dtype="uint8",
            action=ActionSpec("categorical", num_actions),
            frame_stack=self.frame_stack,
            frame_skip=self.frame_skip,
        )
