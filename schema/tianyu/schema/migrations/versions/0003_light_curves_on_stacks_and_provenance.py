"""Light curves on stacks; checksums of raw files and versions of software

Revision: 0003
Follows: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# As light_curve of 0002, on stacks; see 0001 why zeros are added and joins are crossed.
STACK_LIGHT_CURVE_ALL = """
CREATE VIEW stack_light_curve_all AS
SELECT
    f.source_id AS source_id,
    st.name AS source_name,
    ot.name AS target,
    p.ra_deg AS ra,
    p.dec_deg AS `dec`,
    p.x AS x,
    p.y AS y,
    e.utc_mid AS utc_mid,
    e.jd_utc_mid AS jd_utc_mid,
    e.bjd_tdb_mid + COALESCE(p.xi_deg * e.dbjd_dxi + p.eta_deg * e.dbjd_deta, 0.0)
        AS bjd_tdb_mid,
    flt.name AS `filter`,
    e.airmass + 0e0 AS airmass,
    f.radius_pix + 0e0 AS radius_pix,
    CASE WHEN sp.default_aperture = f.aperture THEN 1 ELSE 0 END AS is_default_radius,
    f.flux + 0e0 AS flux,
    f.flux_error + 0e0 AS flux_error,
    r.relative_flux * COALESCE(l.scale, 1e0) AS relative_flux,
    r.relative_flux_error * COALESCE(l.scale, 1e0) AS relative_flux_error,
    f.flags | COALESCE(r.flags, 0) AS flags,
    COALESCE(sp.is_reference, 0) AS is_reference,
    1 AS frame_is_good,
    e.image_id AS image_id,
    d.observation_id AS observation_id,
    f.run_id AS run_id,
    e.time_scale AS time_scale,
    e.n_frames AS n_frames,
    e.exposure_s AS exposure_s
FROM observation AS o
JOIN reduction AS d ON d.observation_id = o.id
JOIN source AS s ON s.sky_id = o.sky_id
LEFT JOIN target AS st ON st.id = s.target_id
CROSS JOIN stack_flux AS f ON f.run_id = d.run_id AND f.source_id = s.id
JOIN stack_epoch AS e ON e.run_id = f.run_id AND e.scale = f.scale AND e.epoch = f.epoch
LEFT JOIN source_position AS p
    ON p.template_image_id = d.template_image_id AND p.source_id = f.source_id
LEFT JOIN target AS ot ON ot.id = o.target_id
LEFT JOIN optical_filter AS flt ON flt.id = o.filter_id
LEFT JOIN source_photometry AS sp ON sp.run_id = f.run_id AND sp.source_id = f.source_id
LEFT JOIN stack_relative_flux AS r
    ON r.run_id = f.run_id AND r.source_id = f.source_id
    AND r.scale = f.scale AND r.epoch = f.epoch AND r.aperture = f.aperture
LEFT JOIN flux_level AS l
    ON l.run_id = f.run_id AND l.source_id = f.source_id AND l.aperture = f.aperture
"""

STACK_LIGHT_CURVE = STACK_LIGHT_CURVE_ALL.replace(
    "stack_light_curve_all", "stack_light_curve", 1
) + ("WHERE o.current_run_id = d.run_id")

MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}

SINGLE = sa.Float(precision=24)
TIME = (
    sa.DateTime()
    .with_variant(mysql.DATETIME(fsp=6), "mariadb")
    .with_variant(mysql.DATETIME(fsp=6), "mysql")
)


def _key(table: str) -> list[Any]:
    names = ("run_id", "source_id", "scale", "epoch", "aperture")
    small = {"scale", "aperture"}
    columns: list[Any] = [
        sa.Column(
            name,
            sa.SmallInteger() if name in small else sa.Integer(),
            autoincrement=False,
            nullable=False,
        )
        for name in names
    ]
    return [*columns, sa.PrimaryKeyConstraint(*names, name=op.f(f"pk_{table}"))]


def upgrade() -> None:
    op.create_table(
        "stack_epoch",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scale", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "time_scale",
            sa.String(length=24),
            nullable=False,
            comment="such as 5 frames, or 10 min",
        ),
        sa.Column(
            "birth",
            sa.BigInteger(),
            nullable=False,
            comment="process that stacked and measured it",
        ),
        sa.Column(
            "image_id",
            sa.BigInteger(),
            nullable=False,
            comment="the middle frame, whose grid it has",
        ),
        sa.Column(
            "frames",
            sa.JSON(),
            nullable=False,
            comment="ids of the images that were averaged, and of those left out",
        ),
        sa.Column("n_frames", sa.Integer(), nullable=False, comment="frames averaged"),
        sa.Column("exposure_s", sa.Double(), nullable=False, comment="summed exposure, seconds"),
        sa.Column("utc_mid", TIME, nullable=True, comment="as jd_utc_mid"),
        sa.Column(
            "jd_utc_mid",
            sa.Double(),
            nullable=True,
            comment="mean of the mid-exposures weighted by exposure, days",
        ),
        sa.Column(
            "bjd_tdb_mid", sa.Double(), nullable=True, comment="likewise, at the field centre"
        ),
        sa.Column("dbjd_dxi", sa.Double(), nullable=True, comment="days per degree of xi"),
        sa.Column("dbjd_deta", sa.Double(), nullable=True, comment="days per degree of eta"),
        sa.Column("airmass", SINGLE, nullable=True, comment="weighted likewise"),
        sa.Column("transparency", SINGLE, nullable=True, comment="mean of the frames"),
        sa.PrimaryKeyConstraint("run_id", "scale", "epoch", name=op.f("pk_stack_epoch")),
        **MYSQL,
    )
    op.create_table(
        "stack_flux",
        *_key("stack_flux"),
        sa.Column("radius_pix", SINGLE, nullable=False, comment="aperture radius, pixels"),
        sa.Column("flux", SINGLE, nullable=True, comment="mean; unit in reduction.flux_unit"),
        sa.Column("flux_error", SINGLE, nullable=True, comment="1 sigma of the mean"),
        sa.Column("background", SINGLE, nullable=True, comment="annulus, ADU per pixel"),
        sa.Column("background_rms", SINGLE, nullable=True, comment="annulus, ADU per pixel"),
        sa.Column("flags", sa.Integer(), nullable=False, comment="bits of FluxFlag"),
        sqlite_with_rowid=False,
        **MYSQL,
    )
    op.create_table(
        "stack_relative_flux",
        *_key("stack_relative_flux"),
        sa.Column("relative_flux", SINGLE, nullable=True, comment="median 1 over the stacks"),
        sa.Column("relative_flux_error", SINGLE, nullable=True, comment="1 sigma"),
        sa.Column(
            "flags",
            sa.Integer(),
            nullable=False,
            comment="bits of FluxFlag added by the comparison",
        ),
        sqlite_with_rowid=False,
        **MYSQL,
    )
    op.add_column(
        "frame",
        sa.Column(
            "raw_checksum",
            sa.String(length=64),
            nullable=True,
            comment="SHA-256 of the raw file as this run read it",
        ),
    )
    op.add_column(
        "worker",
        sa.Column(
            "software",
            sa.JSON(),
            nullable=True,
            comment="versions of Python and of the packages that compute",
        ),
    )
    op.execute(sa.text(STACK_LIGHT_CURVE_ALL))
    op.execute(sa.text(STACK_LIGHT_CURVE))


def downgrade() -> None:
    op.execute(sa.text("DROP VIEW stack_light_curve"))
    op.execute(sa.text("DROP VIEW stack_light_curve_all"))
    op.drop_column("worker", "software")
    op.drop_column("frame", "raw_checksum")
    op.drop_table("stack_relative_flux")
    op.drop_table("stack_flux")
    op.drop_table("stack_epoch")
