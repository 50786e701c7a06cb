"""Configurations: written and read again; what is wrong is named."""

import pytest

from models.configs import ConfigError, from_json, read_config, to_json
from models.mixing import MixConfig
from models.separation import SeparationConfig
from models.separator import SeparatorConfig


def test_round_trip():
    made = SeparationConfig(network=SeparatorConfig(channels=(4, 8)), mix=MixConfig(level_db=3.0), held_out=("x",))
    assert from_json(SeparationConfig, to_json(made), "here") == made


def test_what_is_left_out_has_its_default():
    assert from_json(SeparationConfig, '{"mix": {"level_db": 3}}', "here") == SeparationConfig(
        mix=MixConfig(level_db=3.0)
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"mix": {"levels_db": 3}}', r"no field mix\.levels_db; did you mean level_db\?"),
        ('{"frames": "many"}', r"here: frames: .*'many'"),
        ("{", "here: the file: Invalid JSON"),
    ],
)
def test_faults_are_named(text, words):
    with pytest.raises(ConfigError, match=words):
        from_json(SeparationConfig, text, "here")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(MixConfig, tmp_path / "none.json")
