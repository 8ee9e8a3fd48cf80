"""What is played: the `env` section, one alternative per backend."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, model_validator

from configs.games import atari_game, gymnasium_id, mario_id, minigrid_id
from configs.section import Section, key


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError("must be a number, text, true, false or null")


def _constructor_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    for name in kwargs:
        if name in ("id", "max_episode_steps", "disable_env_checker", "vectorization_mode"):
            raise ValueError(f"{name} is no argument of an environment's constructor; remove it")
    return kwargs


Arguments = Annotated[dict[str, Annotated[Any, AfterValidator(_scalar)]], AfterValidator(_constructor_arguments)]


FRAME_SKIP = key(
    4, "Emulator frames for which an action is repeated: one env step.", unit="emulator frames", ge=1, le=100
)
FRAME_STACK = key(4, "Latest frames that the model sees together.", unit="frames", ge=1, le=16)
IMAGE_SIZE = key(84, "Height and width to which frames are resized.", unit="pixels", ge=36, le=256)


ROOM_BYTES = {"montezuma_revenge": 3, "pitfall": 1}
"""Address of the room in the console's 128 bytes of memory, as Go-Explore (Ecoffet et al., 2019) reads it."""


class AleEnv(Section):
    """Atari on ALE's emulators: grey frames, raw rewards, whole games."""

    backend: Literal["ale"] = key("ale", "Who provides the environment.")
    id: Annotated[str, AfterValidator(atari_game)] = key(
        ..., "Game, such as pong; ALE/Pong-v5 and PongNoFrameskip-v4 name the same game, and nothing but the game."
    )
    frame_skip: int = FRAME_SKIP
    frame_stack: int = FRAME_STACK
    image_size: int = IMAGE_SIZE
    noop_max: int = key(
        30, "A reset waits for a random number of frames below this; 0: none.", unit="emulator frames", ge=0, le=1000
    )
    fire_reset: bool = key(True, "Press FIRE at each reset, in games that have it.")
    life_loss_terminates: bool = key(
        False, "Tell the learner that a lost life terminates an episode; the game goes on, and so does its score."
    )
    sticky_actions: float = key(
        0.0,
        "Probability, each emulator frame, that the previous action is repeated.",
        unit="probability",
        ge=0.0,
        le=1.0,
    )
    full_action_space: bool = key(False, "Offer all 18 actions of the console instead of those that the game uses.")
    max_episode_frames: int = key(
        108_000, "A game is truncated after this many frames.", unit="emulator frames", ge=1, le=2_000_000_000
    )
    maxpool: bool = key(True, "Show the maximum of the last two emulator frames, against sprite flicker.")
    threads: int = key(1, "C++ threads that step the environments of one rollout actor.", unit="threads", ge=1, le=256)
    engine: Literal["vector", "single", "envpool"] = key(
        "vector",
        "Who steps the emulators: ALE's C++ vector environment; Python, one by one, with the same games to the bit; or "
        "EnvPool, with other random numbers.",
    )
    rooms: bool = key(
        False, "Tell rooms (Montezuma's Revenge, Pitfall), which engine vector cannot: see docs/observability.md."
    )

    @property
    def room_byte(self) -> int | None:
        """Where the environments read the room; None: they tell none."""
        return ROOM_BYTES[self.id] if self.rooms else None

    @model_validator(mode="after")
    def _check_engine(self) -> "AleEnv":
        _check_rooms(self)
        if self.engine == "single":
            _check_single(self)
        if self.engine == "envpool":
            _check_envpool(self)
        return self


def _check_rooms(env: AleEnv) -> None:
    if env.rooms and env.id not in ROOM_BYTES:
        raise ValueError(
            f"where {env.id} keeps its room is not known; set rooms to false (known: {', '.join(ROOM_BYTES)})"
        )
    if env.rooms and env.engine == "vector":
        raise ValueError("engine vector does not show the rooms; set engine to single or envpool")


def _check_single(env: AleEnv) -> None:
    if env.threads > 1:
        raise ValueError(f"threads {env.threads}: engine single steps its emulators in Python; set it to 1")
    if env.image_size > 160:
        raise ValueError(f"image_size {env.image_size}: engine single only makes frames smaller; set it to 160 or less")


def _check_envpool(env: AleEnv) -> None:
    if env.noop_max == 0:
        raise ValueError("noop_max 0: engine envpool waits for at least one frame; set it to 1 or more")
    if not env.maxpool:
        raise ValueError("maxpool false: engine envpool always shows the maximum of two frames; set it to true")
    if env.max_episode_frames % env.frame_skip:
        raise ValueError(
            f"max_episode_frames {env.max_episode_frames}: engine envpool counts env steps; make it a multiple of "
            f"frame_skip ({env.frame_skip})"
        )


class PixelsConfig(Section):
    """What a person would see, in place of an environment's own observations: grey frames, resized, the latest few."""

    image_size: int = IMAGE_SIZE
    frame_stack: int = FRAME_STACK


class GymnasiumEnv(Section):
    """Any environment of gymnasium's registry with array observations, and actions that are choices or numbers."""

    backend: Literal["gymnasium"] = key("gymnasium", "Who provides the environment.")
    id: Annotated[str, AfterValidator(gymnasium_id)] = key(
        ..., "Id in gymnasium's registry, such as CartPole-v1, or HalfCheetah-v5 where the extra `mujoco` is installed."
    )
    max_episode_steps: int | None = key(
        None, "An episode is truncated after this many steps; null: the id's own limit.", unit="env steps", ge=1
    )
    kwargs: Arguments = key({}, "Arguments of the environment's constructor.")
    pixels: PixelsConfig | None = key(None, "Show what a person would see; null: the environment's own observations.")


MINIGRID_VALUES = (11, 6, 3, 4)
"""How many values each plane of MiniGrid's observations has: object, colour, state, direction."""


class MiniGridEnv(Section):
    """MiniGrid: 7 × 7 cells in planes of objects, colours, states, and the agent's direction. Missions are left out."""

    backend: Literal["minigrid"] = key("minigrid", "Who provides the environment.")
    id: Annotated[str, AfterValidator(minigrid_id)] = key(..., "Id of minigrid, such as MiniGrid-MultiRoom-N6-v0.")
    engine: Literal["python", "envpool"] = key(
        "python", "Who plays it: minigrid itself, or EnvPool in C++: faster, with other levels, but not MultiRoom, "
        "most of whose levels cannot be solved there."
    )  # fmt: skip
    max_episode_steps: int | None = key(
        None, "An episode is truncated after this many steps, to which rewards are relative; null: the id's own limit.",
        unit="env steps", ge=1, le=2_000_000_000,
    )  # fmt: skip
    level_seed: int | None = key(
        None, "Every episode has the level of this seed (python); null: each has a new one.", ge=0, le=2_147_483_647
    )
    threads: int = key(
        1, "C++ threads that step the environments of one rollout actor (envpool).", unit="threads", ge=1, le=256
    )

    @model_validator(mode="after")
    def _check(self) -> "MiniGridEnv":
        if self.engine == "envpool" and self.level_seed is not None:
            raise ValueError("level_seed is for engine python (EnvPool seeds no single episode); set engine to python")
        if self.engine == "envpool" and "MultiRoom" in self.id:
            raise ValueError(f"engine envpool: most of EnvPool's levels of {self.id} cannot be solved, for doors lead "
                             "into corners; set engine to python")  # fmt: skip
        if self.engine == "python" and self.threads != 1:
            raise ValueError("threads is for engine envpool; set it to 1")
        return self


class MarioEnv(Section):
    """Super Mario Bros.: grey frames, raw rewards, the twelve actions of COMPLEX_MOVEMENT."""

    backend: Literal["mario"] = key("mario", "Who provides the environment.")
    id: Annotated[str, AfterValidator(mario_id)] = key(
        ..., "Id of gym-super-mario-bros: a game, such as SuperMarioBros-v0, or a stage, such as SuperMarioBros-1-2-v0."
    )
    frame_skip: int = FRAME_SKIP
    frame_stack: int = FRAME_STACK
    image_size: int = IMAGE_SIZE
    sticky_actions: float = key(
        0.0,
        "Probability, each emulator frame, that the buttons of the frame before stay down.",
        unit="probability",
        ge=0.0,
        le=1.0,
    )
    max_episode_frames: int = key(
        18_000, "A game is truncated after this many frames.", unit="emulator frames", ge=1, le=2_000_000_000
    )


EnvConfig = AleEnv | GymnasiumEnv | MiniGridEnv | MarioEnv
"""One alternative for each `backend`."""
