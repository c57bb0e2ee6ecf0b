"""Write the Alembic revision for what was changed in the tables of a database.

    make revision OF=catalog SAY="sources remember who owns them"

``OF`` is "catalog" (``ingest/catalog/tables.py``) or "service" (``api/security/tables.py``). Read what was
written: Alembic sees tables, columns and plain indexes, but takes a new name for one that goes and one that
comes, and knows nothing of the rows.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from askpix.api.security import tables as service
from askpix.core.db.engine import transaction
from askpix.core.db.migrate import config, last_revision, upgrade
from askpix.core.db.sqlite import sqlite_engine
from askpix.ingest.catalog import tables as catalog

METADATA = {"catalog": catalog.METADATA, "service": service.METADATA}


def write_revision(metadata: MetaData, message: str) -> Path | None:
    """Write the revision after the last one; None when the tables are what the revisions make."""
    folder: Path = metadata.info["migrations"]
    last = last_revision(folder)
    with tempfile.TemporaryDirectory() as scratch:
        engine = sqlite_engine(Path(scratch) / "revised.sqlite")
        with transaction(engine) as connection:
            upgrade(connection, metadata, last)
            changed = compare_metadata(MigrationContext.configure(connection), metadata)
            if changed:
                number = f"{last + 1:04d}"
                command.revision(config(metadata, connection), message, autogenerate=True, rev_id=number)
        engine.dispose()
    return next(folder.glob(f"{number}_*.py")) if changed else None


def main() -> int:
    """Say which file was written."""
    name, _, message = " ".join(sys.argv[1:]).partition(" ")
    if name not in METADATA or not message.strip():
        print('say of which database and what changes: make revision OF=catalog|service SAY="..."')
        return 2
    path = write_revision(METADATA[name], message)
    print(path or f"nothing to do: the tables of the {name} are what their revisions make")
    return 0


if __name__ == "__main__":
    sys.exit(main())
