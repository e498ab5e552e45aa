"""Verdicts on frames by hand, and relative fluxes of several nights on one scale

Revision: 0002
Follows: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# As in 0001, with the relative fluxes on the scale of the sky. A product of FLOAT and DOUBLE
# keeps all digits in MySQL; times 1 it is the same number.
LIGHT_CURVE_ALL = """
CREATE VIEW light_curve_all AS
SELECT
    f.source_id AS source_id,
    st.name AS source_name,
    ot.name AS target,
    p.ra_deg AS ra,
    p.dec_deg AS `dec`,
    p.x AS x,
    p.y AS y,
    fr.utc_mid AS utc_mid,
    fr.jd_utc_mid AS jd_utc_mid,
    fr.bjd_tdb_mid + COALESCE(p.xi_deg * fr.dbjd_dxi + p.eta_deg * fr.dbjd_deta, 0.0)
        AS bjd_tdb_mid,
    flt.name AS `filter`,
    fr.airmass + 0e0 AS airmass,
    f.radius_pix + 0e0 AS radius_pix,
    CASE WHEN sp.default_aperture = f.aperture THEN 1 ELSE 0 END AS is_default_radius,
    f.flux + 0e0 AS flux,
    f.flux_error + 0e0 AS flux_error,
    r.relative_flux * COALESCE(l.scale, 1e0) AS relative_flux,
    r.relative_flux_error * COALESCE(l.scale, 1e0) AS relative_flux_error,
    f.flags | COALESCE(r.flags, 0) AS flags,
    COALESCE(sp.is_reference, 0) AS is_reference,
    COALESCE(v.is_good, 0) AS frame_is_good,
    f.image_id AS image_id,
    d.observation_id AS observation_id,
    f.run_id AS run_id
FROM observation AS o
JOIN reduction AS d ON d.observation_id = o.id
JOIN source AS s ON s.sky_id = o.sky_id
LEFT JOIN target AS st ON st.id = s.target_id
CROSS JOIN flux AS f ON f.run_id = d.run_id AND f.source_id = s.id
JOIN frame AS fr ON fr.run_id = f.run_id AND fr.image_id = f.image_id
LEFT JOIN source_position AS p
    ON p.template_image_id = d.template_image_id AND p.source_id = f.source_id
LEFT JOIN target AS ot ON ot.id = o.target_id
LEFT JOIN optical_filter AS flt ON flt.id = o.filter_id
LEFT JOIN frame_verdict AS v ON v.run_id = f.run_id AND v.image_id = f.image_id
LEFT JOIN source_photometry AS sp ON sp.run_id = f.run_id AND sp.source_id = f.source_id
LEFT JOIN relative_flux AS r
    ON r.run_id = f.run_id AND r.source_id = f.source_id
    AND r.image_id = f.image_id AND r.aperture = f.aperture
LEFT JOIN flux_level AS l
    ON l.run_id = f.run_id AND l.source_id = f.source_id AND l.aperture = f.aperture
"""

LIGHT_CURVE = LIGHT_CURVE_ALL.replace("light_curve_all", "light_curve", 1) + (
    "WHERE o.current_run_id = d.run_id"
)

MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    op.create_table(
        "frame_override",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "verdict",
            sa.String(length=8),
            nullable=False,
            comment="reject, accept, or reset: no longer",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="in the person's words"),
        sa.Column("author", sa.String(length=190), nullable=False, comment="who said it"),
        sa.Column("created_us", sa.BigInteger(), nullable=False, comment="µs since 1970 UTC"),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name=op.f("fk_frame_override_image_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_frame_override")),
        **MYSQL,
    )
    with op.batch_alter_table("frame_override", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_frame_override_image_id"), ["image_id"], unique=False)
    op.create_table(
        "flux_level",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("aperture", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "level",
            sa.Double(),
            nullable=False,
            comment="flux at the night's mean transparency, unit in reduction.flux_unit",
        ),
        sa.Column(
            "scale",
            sa.Double(),
            nullable=False,
            comment="times relative_flux: joined with other nights",
        ),
        sa.PrimaryKeyConstraint("run_id", "source_id", "aperture", name=op.f("pk_flux_level")),
        sqlite_with_rowid=False,
        **MYSQL,
    )
    _replace_views(LIGHT_CURVE_ALL, LIGHT_CURVE)


def downgrade() -> None:
    _replace_views(*(_without_scale(view) for view in (LIGHT_CURVE_ALL, LIGHT_CURVE)))
    op.drop_table("flux_level")
    op.drop_table("frame_override")


def _replace_views(*views: str) -> None:
    op.execute(sa.text("DROP VIEW IF EXISTS light_curve"))
    op.execute(sa.text("DROP VIEW IF EXISTS light_curve_all"))
    for view in views:
        op.execute(sa.text(view))


def _without_scale(view: str) -> str:
    """Return a view as revision 0001 made it."""
    before, _, after = view.partition("LEFT JOIN flux_level")
    condition = after.partition("AND l.aperture = f.aperture\n")[2]
    return (before + condition).replace("* COALESCE(l.scale, 1e0)", "+ 0e0")
