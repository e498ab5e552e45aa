"""The order of an ensemble's zero-point surface, by which later frames are compared with it

Revision: 0011
Follows: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "reference_group",
        sa.Column(
            "surface_order",
            sa.SmallInteger(),
            nullable=True,
            comment="of the zero point over the field; NULL: plain groups",
        ),
    )
    # Until now it stood only in words, at their end: "zero-point surface of order 1".
    op.execute(
        sa.text(
            "UPDATE reference_group SET surface_order = SUBSTR(note, -1) "
            "WHERE note LIKE '%zero-point surface of order _'"
        )
    )


def downgrade() -> None:
    op.drop_column("reference_group", "surface_order")
