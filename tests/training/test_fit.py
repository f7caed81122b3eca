import json
from pathlib import Path

import numpy as np
import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import SettingsError
from xas_bluesky.models import load
from xas_bluesky.prediction import Predictor
from xas_bluesky.training.dataset import GAUSSIAN, GRID, LORENTZIAN, Example, hash_data
from xas_bluesky.training.fit import TrainingSettings, train


@pytest.fixture
def settings(tiny: Path, tmp_path: Path) -> TrainingSettings:
    return TrainingSettings(data=tiny, output=tmp_path / "model", networks=4, hidden=8, interactions=1, epochs=1, batch=8)


def test_train_from_a_folder_of_data_to_a_model_that_predicts(settings: TrainingSettings, capsys: pytest.CaptureFixture[str]):
    figures = train(settings, "xas-bluesky train tiny.toml")
    assert capsys.readouterr().out == ""  # stdout is for the answer alone
    assert figures["train_molecules"] == 16
    assert figures["own_test_molecules"] == figures["authors_test_molecules"] == 3
    for part in ("own_test", "authors_test"):
        assert all(f"{part}_relative_l1{baseline}" in figures for baseline in ("", "_mean_spectrum", "_kernel_ridge"))
        assert 0 <= figures[f"{part}_coverage_68"] <= figures[f"{part}_coverage_95"] <= 1
    ensemble, card = load(settings.output)
    assert card.figures == figures
    assert (card.edge, card.lorentzian, card.gaussian) == ("S K", LORENTZIAN, GAUSSIAN)
    assert card.command == "xas-bluesky train tiny.toml"
    assert card.data_hash == hash_data(settings.data)
    assert sum(card.environments.values()) == 16
    assert card.kinds == ["S"]
    assert len(ensemble.networks) == 4
    assert np.allclose(ensemble.energy, GRID, atol=1e-3)
    prediction = Predictor.from_folder(settings.output).predict([Candidate("thiol", "CCS")])
    assert prediction.spectra.candidate == ("thiol",)
    assert np.isfinite(prediction.spectra.mean).all()
    assert len(prediction.population) == 2


def test_the_same_seed_gives_the_same_model(settings: TrainingSettings, tmp_path: Path):
    written = [settings.output, tmp_path / "again"]
    for folder in written:
        train(settings.model_copy(update={"output": folder}), "by hand")
    first, again = ((folder / "weights.safetensors").read_bytes() for folder in written)
    assert first == again


def test_no_network_is_fitted_to_what_its_residual_is_taken_from(settings: TrainingSettings):
    train(settings, "by hand")
    ensemble, _ = load(settings.output)
    assert len(ensemble.residual) == 12
    assert (ensemble.residual**2).sum(axis=0).max() > 0.01  # one epoch learns little: honest residuals are large


def test_a_set_that_is_too_small_is_refused(settings: TrainingSettings):
    path = settings.data / "molecules.csv"
    path.write_text(path.read_text().replace(",TEST,", ",Type1,"))
    with pytest.raises(SettingsError, match=r"data: the set is too small; it must hold molecules of every part"):
        train(settings, "by hand")


def test_an_edge_without_data_is_refused(settings: TrainingSettings):
    with pytest.raises(SettingsError, match=r"edge 'Cu K': training data are shipped for 'S K' only"):
        train(settings.model_copy(update={"edge": "Cu K"}), "by hand")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_settings_are_read_with_their_defaults(tmp_path: Path):
    settings = TrainingSettings.read(write(tmp_path / "a.toml", 'output = "model"\nepochs = 3\n'))
    assert (settings.output, settings.epochs, settings.edge) == (Path("model"), 3, "S K")


def test_the_shipped_settings_are_those_of_the_shipped_model(examples: list[Example]):
    package = Path(str(train.__globals__["__file__"])).parents[1]
    settings = TrainingSettings.read(package / "training" / "sulfur.toml")
    card = json.loads((package / "models" / "weights" / "S_K" / "model.json").read_text())
    assert (settings.edge, settings.networks) == (card["edge"], card["networks"])
    assert settings.hidden == card["settings"]["hidden"]
    assert settings.interactions == card["settings"]["interactions"]
    assert hash_data(settings.data) == card["data_hash"]
    assert sum(example.part == "train" for example in examples) == card["figures"]["train_molecules"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('output = "m"\nepoch = 3\n', r"epoch: Extra inputs are not permitted; the settings are edge, data, output"),
        ("epochs = 3\n", r"output: Field required"),
        ('output = "m"\nepochs = "many"\n', r"epochs: Input should be a valid integer"),
        ('output = "m"\nepochs = 0\n', r"epochs: Input should be greater than or equal to 1"),
        ('output = "m"\nnetworks = 3\n', r"networks: Input should be greater than or equal to 4"),
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
