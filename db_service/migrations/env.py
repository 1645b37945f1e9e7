"""Alembic's environment. Migrations are plain SQL, so it only writes the script; `db_service.migrate` runs it.

(`alembic -c db_service/migrations/alembic.ini upgrade head --sql` prints it for people who run migrations by hand.)
"""

from __future__ import annotations

from alembic import context

context.configure(
    dialect_name="postgresql",
    # percent signs stay as they are written
    dialect_opts={"paramstyle": "named"},
    literal_binds=True,
    # whoever runs the script wraps it in one transaction
    transactional_ddl=False,
    output_buffer=context.config.output_buffer,
)
context.run_migrations()
