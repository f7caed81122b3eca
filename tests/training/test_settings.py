from pathlib import Path

import pytest

from xas_bluesky.errors import SettingsError
from xas_bluesky.training.settings import TrainingSettings

NEEDED = 'data = ["a.parquet"]\noutput = "m"\nwork = "w"\n'


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_settings_are_read_with_their_defaults(tmp_path: Path):
    settings = TrainingSettings.read(write(tmp_path / "a.toml", NEEDED + "epochs = 3\n"))
    assert (settings.output, settings.epochs, settings.body) == (Path("m"), 3, "painn")
    assert settings.edges is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NEEDED + "epoch = 3\n", r"epoch: Extra inputs are not permitted; the settings are data, edges, output"),
        ('output = "m"\nwork = "w"\n', r"data: Field required"),
        (NEEDED + 'epochs = "many"\n', r"epochs: Input should be a valid integer"),
        (NEEDED + "epochs = 0\n", r"epochs: Input should be greater than or equal to 1"),
        (NEEDED + "networks = 1\n", r"networks: Input should be greater than or equal to 2"),
        (NEEDED + 'precision = "8"\n', r"precision: Input should be '32-true', '16-mixed' or 'bf16-mixed'"),
        (NEEDED + 'body = "magic"\n', r"body: Input should be 'painn' or 'schnet'"),
        ('output = "m\n', r"is not valid TOML: .*line 1"),
    ],
)
def test_bad_settings_are_refused_with_their_file_and_place(tmp_path: Path, text: str, message: str):
    with pytest.raises(SettingsError, match=rf"bad\.toml: {message}") as refused:
        TrainingSettings.read(write(tmp_path / "bad.toml", text))
    assert "\n" not in str(refused.value)


def test_a_missing_settings_file_is_said(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read \(No such file"):
        TrainingSettings.read(tmp_path / "none.toml")
