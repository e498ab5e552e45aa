"""Run by Alembic for every migration command, on the connection that the caller opened."""

from alembic import context

from tianyu.schema.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
