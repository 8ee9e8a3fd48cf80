"""Packaging: ranges here, exact pins in constraints.txt, a reason for each in docs/decisions/dependencies.md."""

from setuptools import find_packages, setup

SIBLINGS = ("rl_platform", "actors", "replay", "learners", "models", "configs", "tune_experiments")

REQUIREMENTS = [
    "ray[default,rllib,tune]>=2.52,<3",  # 2.52: token authentication
    "torch>=2.10,<3",  # older releases let torch.load(weights_only=True) run code
    "gymnasium>=1.1,<2",
    "ale-py>=0.12,<0.13",
    'procgen-mirror>=0.10.7,<0.11; python_version >= "3.11"',
    'procgen>=0.10.7,<0.11; python_version < "3.11"',
    "numpy>=1.26,<3",
    "pyarrow>=17,<26",  # 26 refuses NumPy 1 when imported, not in its metadata; Procgen needs NumPy 1
    "tensorboard>=2.18,<3",
    "pydantic>=2.9,<3",
    "PyYAML>=6,<7",
    "rich>=13.7",
    "safetensors>=0.5,<1",
    "av>=14,<19",
    "matplotlib>=3.8,<4",
    "pillow>=10",
]

MUJOCO = [
    "gymnasium[mujoco]>=1.1,<2",
    "mujoco>=3.1,<4",  # gymnasium names no upper bound, and another engine is another task
]

MINATAR = ["MinAtar>=1.0.15,<2"]

PIXELS = ["pygame-ce>=2.4,<3"]

MINIGRID = ["minigrid>=3.0,<4"]

MARIO = [
    "gym-super-mario-bros>=7.4,<8",
    "nes-py>=8.2.1,<9",
    "numpy<2",  # under which nes-py's arithmetic on bytes overflows
]

# There is no extra for EnvPool: it asks for glfw 2, Procgen's gym3 for glfw 1. See docs/decisions/dependencies.md.

DEVELOPMENT = [
    *MINATAR,  # tests play the environments of these
    *MUJOCO,
    *PIXELS,
    *MINIGRID,
    *MARIO,
    "psutil>=5.9",  # tests and benchmarks look at the processes of a run
    "pytest>=9,<10",
    "pytest-timeout>=2.3,<3",
    "pytest-xdist>=3.6,<4",
    "ruff>=0.15",
    "scipy>=1.15,<2",  # statistics of benchmarks
    "pre-commit>=4,<5",
    "setuptools>=77",
]

setup(
    name="rl-platform",
    version="0.1.0.dev0",
    description="Distributed actor-learner reinforcement learning in PyTorch, on Ray",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.13",
    # Naming the root makes an editable install a plain path entry. Setuptools' default, an import hook, would let any
    # folder called `models`, even one that holds only weights, shadow ours.
    package_dir={"": "."},
    packages=find_packages(include=[pattern for name in SIBLINGS for pattern in (name, f"{name}.*")]),
    package_data={"configs": ["**/*.yaml"]},
    install_requires=REQUIREMENTS,
    extras_require={
        "dev": DEVELOPMENT,
        "mario": MARIO,
        "minatar": MINATAR,
        "minigrid": MINIGRID,
        "mujoco": MUJOCO,
        "pixels": PIXELS,
    },
    entry_points={"console_scripts": ["rl-platform = rl_platform.cli:main"]},
)
