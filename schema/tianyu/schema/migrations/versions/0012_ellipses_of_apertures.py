"""The ellipses in which the sources of a frame were measured

Revision: 0012
Follows: 0011
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}
SINGLE = sa.Float(precision=24)


def upgrade() -> None:
    op.create_table(
        "aperture_ellipse",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "axis_ratio",
            SINGLE,
            nullable=False,
            comment="minor over major axis q; 1: the frame's stars are round, circles",
        ),
        sa.Column(
            "angle_deg",
            SINGLE,
            nullable=False,
            comment="major axis from the frame's +x towards +y, degrees",
        ),
        sa.Column(
            "n_stars",
            sa.Integer(),
            nullable=True,
            comment="that told it; NULL: given by parameters",
        ),
        sa.PrimaryKeyConstraint("run_id", "image_id", name=op.f("pk_aperture_ellipse")),
        **MYSQL,
    )


def downgrade() -> None:
    op.drop_table("aperture_ellipse")
