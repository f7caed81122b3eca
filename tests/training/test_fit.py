import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import DatasetError, SettingsError
from xas_bluesky.models import load
from xas_bluesky.prediction import Predictor, shipped_model
from xas_bluesky.training.examples import GAUSSIAN, hash_file
from xas_bluesky.training.fit import train
from xas_bluesky.training.settings import TrainingSettings

SMALL = {"networks": 2, "width": 8, "rounds": 1, "trunk": 8, "radial": 6, "batch": 8, "epochs": 2}


@pytest.fixture
def settings(tiny: list[Path], tmp_path: Path) -> TrainingSettings:
    return TrainingSettings(data=tiny, output=tmp_path / "model", work=tmp_path / "work", **SMALL)


@pytest.mark.slow
def test_train_from_data_to_a_model_that_predicts(settings: TrainingSettings, capsys: pytest.CaptureFixture[str]):
    figures = train(settings, "xas-bluesky train tiny.toml")
    assert capsys.readouterr().out == ""  # stdout is for the answer alone
    by_part = {f"{edge} {part}" for edge in ("S K", "Cu K") for part in ("validation", "test")}
    assert set(figures) == by_part | {"molecules test"}
    for found in (figures[name] for name in by_part):
        assert found["structures"] == 11
        assert 0 <= found["coverage_68"] <= found["coverage_95"] <= 1
        assert found["relative_l1"] > 0
    ensemble, card = load(settings.output)
    assert card.figures == figures
    assert card.command == "xas-bluesky train tiny.toml"
    assert card.data == {path.name: hash_file(path) for path in settings.data}
    assert len(ensemble.networks) == 2
    assert set(card.edges) == {"S K", "Cu K"}
    assert card.edges["S K"].gaussian == GAUSSIAN["S K"]
    assert {path.name for path in settings.work.glob("*.png")} == {"S_K.png", "Cu_K.png"}
    predictor = Predictor.load(settings.output, "cpu")
    prediction = predictor.predict([Candidate("thiol", "CCS")], "S K")
    assert prediction.spectra.candidate == ("thiol",)
    assert np.isfinite(prediction.spectra.mean).all()
    assert len(prediction.population) == len(card.edges["S K"].kinds) + 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model_and_a_finished_training_is_not_repeated(
    settings: TrainingSettings, tmp_path: Path
):
    settings = settings.model_copy(update={"data": settings.data[:1], "epochs": 1})
    train(settings, "by hand")
    first = (settings.output / "weights.safetensors").read_bytes()
    train(settings.model_copy(update={"work": tmp_path / "other"}), "by hand")
    assert (settings.output / "weights.safetensors").read_bytes() == first
    finished = settings.work / "network-0.safetensors"
    before = finished.stat().st_mtime_ns
    train(settings, "by hand")
    assert finished.stat().st_mtime_ns == before
    with pytest.raises(SettingsError, match=r"work: it holds a training with other settings or data \(run.json says"):
        train(settings.model_copy(update={"width": 12}), "by hand")


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_last_epoch(tiny: list[Path], tmp_path: Path):
    config = tmp_path / "a.toml"
    told = {**SMALL, "epochs": 40, "work": str(tmp_path / "work"), "output": str(tmp_path / "model")}
    lines = [f"{name} = {json.dumps(value)}" for name, value in told.items()]
    config.write_text("\n".join([f"data = [{json.dumps(str(tiny[0]))}]", *lines]))
    command = [sys.executable, "-m", "xas_bluesky.cli", "train", str(config), "--json"]
    last = tmp_path / "work" / "network-0" / "last.ckpt"
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate()
    assert last.exists()
    assert not (tmp_path / "work" / "network-0.safetensors").exists()
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "Restored all states from the checkpoint" in ended.stderr
    figures = json.loads(ended.stdout)
    assert figures == json.loads((tmp_path / "model" / "model.json").read_text())["figures"]


def test_data_that_are_too_few_or_missing_are_refused(settings: TrainingSettings, tmp_path: Path):
    with pytest.raises(SettingsError, match=r"data: 0 structures of the train part at C K; give data with at least 10"):
        train(settings.model_copy(update={"edges": ["C K", "S K"]}), "by hand")
    with pytest.raises(DatasetError, match=r"nowhere\.parquet"):
        train(settings.model_copy(update={"data": [tmp_path / "nowhere.parquet"]}), "by hand")
    with pytest.raises(SettingsError, match="measured, gap: one without the other"):
        train(settings.model_copy(update={"gap": tmp_path / "gap.json"}), "by hand")


def test_the_shipped_settings_are_those_of_the_shipped_model():
    project = Path(__file__).parents[2]
    settings = TrainingSettings.read(project / "xas_bluesky" / "training" / "model.toml")
    _, card = load(shipped_model())
    for name in ("body", "width", "rounds", "trunk", "dropout"):
        assert getattr(settings, name) == getattr(card.settings, name), name
    assert settings.networks == card.networks
    assert {path.name: hash_file(project / path) for path in settings.data} == card.data
