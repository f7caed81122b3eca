"""Tiled's server for a folder, on a thread of this process.

Tiled 0.2.20's own SimpleTiledServer starts another process at every start, for a database that may have been there for long:
that takes as long as all the rest.
"""

import asyncio
import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

DATABASE_FILE = "catalog.db"


class TiledThread:
    """Serve the catalog in a folder at `port` of this machine, to whoever has the key, until `close`."""

    def __init__(self, folder: Path, api_key: str) -> None:
        import uvicorn
        from tiled.catalog import from_uri
        from tiled.config import Authentication, StreamingCacheConfig
        from tiled.server.app import build_app
        from tiled.storage import get_storage
        from tiled.utils import ensure_uri

        folder = folder.resolve()
        if not (folder / DATABASE_FILE).exists():
            with ThreadPoolExecutor(1) as thread:  # this one may be running a loop already
                thread.submit(asyncio.run, make_database(folder / DATABASE_FILE)).result()
        (folder / "data").mkdir(exist_ok=True)
        tables = ensure_uri(f"duckdb:///{folder / 'storage.duckdb'}")
        catalog = from_uri(
            folder / DATABASE_FILE,
            writable_storage=[folder / "data", tables],
            cache_config=StreamingCacheConfig(uri="memory").model_dump(),
        )
        app = build_app(catalog, authentication=Authentication(single_user_api_key=api_key))
        self._storage: Any = get_storage(tables)
        _use_one_at_a_time(self._storage)
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, loop="asyncio", log_config=_logging_into(folder)))
        self._thread = threading.Thread(target=self._server.run, name="xas-tiled-server")
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError(f"it ended at once; see {folder / 'error.log'}")
            time.sleep(0.02)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop serving."""
        self._storage.dispose()
        self._server.should_exit = True
        self._thread.join()


async def make_database(file: Path) -> None:
    """Make the database of a new catalog, marked with its version as Tiled marks it; whole, or not at all."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.catalog.alembic_constants import ALEMBIC_DIR
    from tiled.catalog.core import initialize_database

    def mark(connection: Any) -> None:
        MigrationContext.configure(connection).stamp(ScriptDirectory(str(ALEMBIC_DIR)), "head")

    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    engine = create_async_engine(f"sqlite+aiosqlite:///{unfinished}")
    try:
        await initialize_database(engine)
        async with engine.begin() as connection:
            await connection.run_sync(mark)
    finally:
        await engine.dispose()
    unfinished.replace(file)


def _logging_into(folder: Path) -> dict[str, Any]:
    """Make Tiled's settings of its logs, which then go to files of the folder."""
    from tiled.server.logging_config import LOGGING_CONFIG

    config: Any = copy.deepcopy(LOGGING_CONFIG)
    for name, file in (("access", "access.log"), ("default", "error.log")):
        handler = config["handlers"][name]
        del handler["stream"]
        handler.update({"class": "logging.FileHandler", "filename": str(folder / file)})
    return config


def _use_one_at_a_time(storage: Any) -> None:
    """Let the server's threads use the connection to its DuckDB in turns.

    Tiled 0.2.20 shares the one connection between them, and DuckDB then crashes the process, scan and all, when a table is
    read while a row is being appended to it.
    """
    from sqlalchemy.pool import QueuePool

    storage.__dict__["_connection_pool"] = QueuePool(storage.create_adbc_connection, pool_size=1, max_overflow=0)
