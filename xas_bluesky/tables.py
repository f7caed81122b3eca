"""The base of every table of a settings file: frozen, validated, with errors that say where and what is known there."""

from collections.abc import Mapping
from typing import Any, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from xas_bluesky.errors import SettingsError


class Table(BaseModel):
    """Hold a table of a settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, values: object, where: str) -> Self:
        """Validate `values`; raises SettingsError, which says `where` they were given."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")  # a misspelt name is missed, too
            place = ".".join(str(part) for part in first["loc"])
            names = cls._names(first["loc"][:-1]) if first["type"] == "extra_forbidden" else []
            known = f"; the settings here are {', '.join(names)}" if names else ""
            raise SettingsError(f"{where}: {place + ': ' if place else ''}{first['msg']}{known}") from error

    @classmethod
    def _names(cls, place: tuple[int | str, ...]) -> list[str]:
        if not place:
            return list(cls.model_fields)
        annotation: Any = cls.model_fields[str(place[0])].annotation
        named = get_origin(annotation) is Mapping  # tables that the user names: the name is no setting
        for inner in (annotation, *get_args(annotation)):
            if isinstance(inner, type) and issubclass(inner, Table):
                return inner._names(place[2:] if named else place[1:])
        return []
