"""What is played: the `env` section, one alternative per backend."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from configs.games import atari_game, gymnasium_id
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


class AleEnv(Section):
    """Atari through ALE's C++ vector environment: grey frames, raw rewards, whole games."""

    backend: Literal["ale"] = key("ale", "Who provides the environment.")
    id: Annotated[str, AfterValidator(atari_game)] = key(
        ..., "Game, such as pong; ALE/Pong-v5 and PongNoFrameskip-v4 name the same game, and nothing but the game."
    )
    frame_skip: int = key(
        4, "Emulator frames for which an action is repeated: one env step.", unit="emulator frames", ge=1, le=100
    )
    frame_stack: int = key(4, "Latest frames that the model sees together.", unit="frames", ge=1, le=16)
    image_size: int = key(84, "Height and width to which frames are resized.", unit="pixels", ge=36, le=256)
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
