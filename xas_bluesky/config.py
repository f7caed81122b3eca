"""Settings of a beamline, read from its beamline.toml and validated once."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from xas_bluesky.errors import SettingsError

DataKey = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, values: object, where: str) -> Self:
        """Validate `values`; raises SettingsError, which says `where` they were given."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            known = f"; the settings here are {', '.join(cls.model_fields)}" if first["type"] == "extra_forbidden" else ""
            raise SettingsError(f"{where}: {place + ': ' if place else ''}{first['msg']}{known}") from error


class Channels(_Settings):
    """Name the data key of each channel of a scan.

    `energy`: the readback (eV); `i0`, `itrans`, `irefer`, `fluorescence`: counts over the dwell; `dwell` (s). Channels
    that a run does not record are ignored as long as one absorption signal is left.
    """

    energy: DataKey = "energy"
    i0: DataKey = "i0"
    itrans: DataKey = "itrans"
    irefer: DataKey = "irefer"
    fluorescence: DataKey = "fluorescence"
    dwell: DataKey = "dwell"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = self.data_keys()
        if len(set(names.values())) < len(names):
            raise ValueError(f"two channels share one data key: {names}; give each channel its own")
        return self

    def data_keys(self) -> dict[str, str]:
        """Return channel -> data key."""
        return {name: str(getattr(self, name)) for name in type(self).model_fields}

    def overridden(self, names: Mapping[str, object], where: str) -> "Channels":
        """Return these channels with `names` in place of theirs; raises SettingsError, which says `where`."""
        return Channels.read({**self.data_keys(), **names}, where)


class Settings(_Settings):
    """Hold what a beamline.toml says; a table that is not there keeps its defaults."""

    channels: Channels = Channels()


def load_settings(path: Path) -> Settings:
    """Read a beamline.toml.

    Raises SettingsError when the file cannot be read, is not TOML, or holds an unknown or malformed setting.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); give the path of a beamline.toml") from error
    except ValueError as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}") from error
    return Settings.read(values, str(path))
