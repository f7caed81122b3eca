"""What a training run is told, in a TOML file."""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xas_bluesky.errors import SettingsError


class TrainingSettings(BaseModel):
    """Set a training run.

    `data`: files of core excitations and folders of crystals; `edges`: of these data, all by default; `output`: folder of the
    weights; `work`: folder of checkpoints, metrics and plots, from which the same command goes on. `fraction`: part of the
    training structures that is used. `parallel`: networks trained at a time, each on one core; `compile`: translate the
    network first, which needs a C++ compiler and a minute. `cumulative`, `derivative`, `ionization`: weights of the error of
    the spectrum's integral, its slope, and the ionization energy, beside that of the spectrum; `crystals`: part of the
    crystals in one epoch. `measured`: a table of measured spectra of known compounds, to fit the gap of theory to, which is
    written to `gap`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: list[Path] = Field(min_length=1)
    edges: list[str] | None = None
    output: Path
    work: Path
    measured: Path | None = None
    gap: Path | None = None
    fraction: float = Field(1.0, gt=0, le=1)
    networks: int = Field(5, ge=2)
    parallel: int = Field(1, ge=1)
    body: Literal["painn", "schnet"] = "painn"
    width: int = Field(64, ge=4)
    radial: int = Field(20, ge=4)
    rounds: int = Field(3, ge=1)
    trunk: int = Field(128, ge=4)
    dropout: float = Field(0.1, ge=0, lt=1)
    epochs: int = Field(100, ge=1)
    batch: int = Field(16, ge=1)
    rate: float = Field(1e-3, gt=0)
    cumulative: float = Field(0.0, ge=0)
    derivative: float = Field(0.0, ge=0)
    ionization: float = Field(0.3, ge=0)
    crystals: float = Field(0.25, gt=0, le=1)
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    compile: bool = False
    seed: int = 0

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file; raises SettingsError that names the file and what is wrong in it."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read ({error.strerror}); give the path of a training file") from error
        except ValidationError as error:
            first = error.errors()[0]
            place, known = ".".join(str(part) for part in first["loc"]), ", ".join(cls.model_fields)
            raise SettingsError(f"{path}: {place}: {first['msg']}; the settings are {known}") from error
        except ValueError as error:
            raise SettingsError(f"{path}: is not valid TOML: {error}") from error
