"""What `RE.md` holds, kept in a file: it is there again after the session was killed."""

import fcntl
import json
import os
import tempfile
from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xas_bluesky.errors import SettingsError


class SavedMetadata(UserDict[str, Any]):
    """Keep metadata in a JSON file, whole at every moment: `RunEngine(SavedMetadata(path))`.

    Several processes may use one file: each change is made to what the file then holds. What is no JSON is refused with
    SettingsError, and so is a file that holds none. (Bluesky's own PersistentDict removes a value before it writes the new
    one, and two processes would remove each other's.)
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__()
        self.data = self._read()

    def __setitem__(self, key: str, value: Any) -> None:
        try:
            value = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise SettingsError(
                f"RE.md[{key!r}]: {value!r} cannot be kept ({error}); give texts, numbers, lists, dicts"
            ) from error
        self._change(lambda held: held.update({key: value}))
        self.data[key] = value

    def __delitem__(self, key: str) -> None:
        del self.data[key]
        self._change(lambda held: held.pop(key, None))

    def _read(self) -> dict[str, Any]:
        try:
            held: Any = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{self._path}: holds no metadata ({error}); mend it, or move it away to begin anew"
            ) from error
        if not isinstance(held, dict):
            raise SettingsError(f"{self._path}: holds no metadata, which is a JSON object; move it away to begin anew")
        return held  # pyright: ignore[reportUnknownVariableType]

    def _change(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change what the file holds, and write it in the file's place."""
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = self._read()
            change(held)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False, encoding="utf-8") as file:
                json.dump(held, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(self._path)
