"""Solutions of the sky, colours of catalogues, moon and heliocentric time, magnitudes

Revision: 0005
Follows: 0003
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None

MAGNITUDE_CURVE = """
CREATE VIEW magnitude_curve AS
SELECT
    m.source_id AS source_id,
    st.name AS source_name,
    fr.utc_mid AS utc_mid,
    fr.jd_utc_mid AS jd_utc_mid,
    fr.bjd_tdb_mid + COALESCE(p.xi_deg * fr.dbjd_dxi + p.eta_deg * fr.dbjd_deta, 0.0)
        AS bjd_tdb_mid,
    flt.name AS `filter`,
    m.magnitude + 0e0 AS magnitude,
    m.magnitude_error + 0e0 AS magnitude_error,
    z.catalogue AS catalogue,
    z.scatter AS zero_point_scatter,
    z.n_stars AS zero_point_stars,
    COALESCE(v.is_good, 0) AS frame_is_good,
    m.image_id AS image_id,
    o.id AS observation_id,
    m.run_id AS run_id
FROM observation AS o
JOIN reduction AS d ON d.run_id = o.current_run_id
JOIN source AS s ON s.sky_id = o.sky_id
LEFT JOIN target AS st ON st.id = s.target_id
CROSS JOIN magnitude AS m ON m.run_id = d.run_id AND m.source_id = s.id
JOIN frame AS fr ON fr.run_id = m.run_id AND fr.image_id = m.image_id
JOIN source_photometry AS sp ON sp.run_id = m.run_id AND sp.source_id = m.source_id
JOIN magnitude_scale AS z ON z.run_id = m.run_id AND z.aperture = sp.default_aperture
LEFT JOIN source_position AS p
    ON p.template_image_id = d.template_image_id AND p.source_id = m.source_id
LEFT JOIN optical_filter AS flt ON flt.id = o.filter_id
LEFT JOIN frame_verdict AS v ON v.run_id = m.run_id AND v.image_id = m.image_id
"""

SINGLE = sa.Float(24)
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}

NEW_COLUMNS = {
    "frame": (
        ("hjd_utc_mid", sa.Double(), "at the field centre, UTC, days"),
        ("moon_distance_deg", SINGLE, "from the field centre, degrees"),
        ("moon_altitude_deg", SINGLE, "airless, degrees"),
        ("moon_illumination", SINGLE, "lit fraction of the disc: 0 new, 1 full"),
        (
            "time_note",
            sa.Text(),
            "where the header's own times or airmass disagree with those here",
        ),
    ),
    "cross_match": (("colour", SINGLE, "catalogue's colour index, mag"),),
}


def upgrade() -> None:
    # One column at a time: rebuilding a table would trip over the views that read it.
    for table, columns in NEW_COLUMNS.items():
        for name, kind, comment in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True, comment=comment))
    _create_sky_wcs()
    _create_zero_points()
    op.create_table(
        "magnitude",
        *_key("run_id", "source_id", "image_id"),
        sa.Column("magnitude", SINGLE, nullable=False, comment="in the catalogue's band, mag"),
        sa.Column(
            "magnitude_error",
            SINGLE,
            nullable=True,
            comment="1 sigma of the point, without the zero point's own error, mag",
        ),
        sa.PrimaryKeyConstraint("run_id", "source_id", "image_id", name=op.f("pk_magnitude")),
        sqlite_with_rowid=False,
        **MYSQL,
    )
    op.execute(sa.text(MAGNITUDE_CURVE))


def downgrade() -> None:
    op.execute(sa.text("DROP VIEW IF EXISTS magnitude_curve"))
    for table in ("magnitude", "magnitude_scale", "zero_point", "sky_wcs"):
        op.drop_table(table)
    for table, columns in NEW_COLUMNS.items():
        for name, _, _ in columns:
            op.drop_column(table, name)


def _key(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer(), autoincrement=False, nullable=False) for name in names]


def _create_sky_wcs() -> None:
    def number(name: str, comment: str, *, nullable: bool = False) -> sa.Column[float]:
        return sa.Column(name, sa.Double(), nullable=nullable, comment=comment)

    op.create_table(
        "sky_wcs",
        sa.Column("template_image_id", BIG_ID, nullable=False),
        sa.Column("sky_id", BIG_ID, nullable=False),
        sa.Column("birth", sa.BigInteger(), nullable=False, comment="process that found it"),
        sa.Column(
            "origin",
            sa.String(length=190),
            nullable=False,
            comment="header, or name of the index file",
        ),
        number("crval1_deg", "right ascension of the tangent point"),
        number("crval2_deg", "declination of the tangent point"),
        number("crpix1", "tangent point, 0-based pixel"),
        number("crpix2", "tangent point, 0-based pixel"),
        *(number(name, "degrees per pixel") for name in ("cd11", "cd12", "cd21", "cd22")),
        number("pixel_scale_arcsec", "arcseconds per pixel"),
        number(
            "rms_arcsec",
            "of the matched stars, both axes together; NULL: not verified",
            nullable=True,
        ),
        sa.Column(
            "n_stars", sa.Integer(), nullable=True, comment="matched stars; NULL: not verified"
        ),
        number("solved_s", "time of the search, seconds", nullable=True),
        sa.ForeignKeyConstraint(
            ["template_image_id"], ["image.id"], name=op.f("fk_sky_wcs_template_image_id")
        ),
        sa.ForeignKeyConstraint(["sky_id"], ["sky.id"], name=op.f("fk_sky_wcs_sky_id")),
        sa.PrimaryKeyConstraint("template_image_id", name=op.f("pk_sky_wcs")),
        **MYSQL,
    )
    op.create_index(op.f("ix_sky_wcs_sky_id"), "sky_wcs", ["sky_id"], unique=False)


def _create_zero_points() -> None:
    aperture = sa.Column("aperture", sa.SmallInteger(), autoincrement=False, nullable=False)
    op.create_table(
        "zero_point",
        *_key("run_id", "image_id"),
        aperture,
        sa.Column("zero_point", sa.Double(), nullable=False, comment="mag for one unit of flux"),
        sa.Column(
            "zero_point_error", SINGLE, nullable=True, comment="1 sigma from frame to frame, mag"
        ),
        sa.Column(
            "scatter",
            SINGLE,
            nullable=True,
            comment="robust, of the stars about the catalogue, mag",
        ),
        sa.Column("n_stars", sa.Integer(), nullable=False, comment="catalogue stars in this frame"),
        sa.PrimaryKeyConstraint("run_id", "image_id", "aperture", name=op.f("pk_zero_point")),
        **MYSQL,
    )
    op.create_table(
        "magnitude_scale",
        *_key("run_id"),
        sa.Column("aperture", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("catalogue", sa.String(length=32), nullable=False),
        sa.Column(
            "zero_point",
            sa.Double(),
            nullable=False,
            comment="mag, for fluxes at mean transparency",
        ),
        sa.Column(
            "zero_point_error",
            sa.Double(),
            nullable=True,
            comment="scatter / sqrt(n_stars), mag",
        ),
        sa.Column(
            "scatter", sa.Double(), nullable=True, comment="robust, about the catalogue, mag"
        ),
        sa.Column("n_stars", sa.Integer(), nullable=False, comment="stars that were not clipped"),
        sa.Column(
            "colour_term",
            sa.Double(),
            nullable=True,
            comment="mag per mag of colour; NULL: none was fitted",
        ),
        sa.Column(
            "colour_pivot", sa.Double(), nullable=True, comment="colour without correction, mag"
        ),
        sa.PrimaryKeyConstraint("run_id", "aperture", name=op.f("pk_magnitude_scale")),
        **MYSQL,
    )
