"""Light curves of ended runs, packed

Revision: 0010
Follows: 0005
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0005"
branch_labels = None
depends_on = None

MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    op.create_table(
        "packed_flux",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n_fluxes", sa.Integer(), nullable=False, comment="rows of flux"),
        sa.Column(
            "n_relative_fluxes", sa.Integer(), nullable=False, comment="rows of relative_flux"
        ),
        sa.Column(
            "packed",
            sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"),
            nullable=False,
            comment="a .npz; see tianyu.pipelines.packing",
        ),
        sa.PrimaryKeyConstraint("run_id", "source_id", name=op.f("pk_packed_flux")),
        **MYSQL,
    )


def downgrade() -> None:
    op.drop_table("packed_flux")
