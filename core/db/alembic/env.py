"""Run by Alembic around its revisions: they go through the connection and transaction of
``core.db.migrate``."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes["metadata"],
    render_as_batch=True,  # SQLite changes a column by copying its table
)
context.run_migrations()
