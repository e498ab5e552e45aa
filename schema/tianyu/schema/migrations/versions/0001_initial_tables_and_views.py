"""Initial tables and views

Revision: 0001
Follows:
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# MySQL writes six digits of a FLOAT, and all of a sum of doubles: hence the zeros.
# Back-ticks, since `dec` and `filter` are keywords; SQLite reads them too. CROSS JOIN is a plain
# join to MySQL; to SQLite, which has no statistics, it says that run and source come before
# flux, whose key begins with them.
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
    r.relative_flux + 0e0 AS relative_flux,
    r.relative_flux_error + 0e0 AS relative_flux_error,
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
"""

LIGHT_CURVE = LIGHT_CURVE_ALL.replace("light_curve_all", "light_curve", 1) + (
    "WHERE o.current_run_id = d.run_id"
)

# Names differ by case, in MySQL as in SQLite; and a server may have any defaults.
MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}


def create_table(name: str, *items: Any, **options: Any) -> None:
    op.create_table(name, *items, **options, **MYSQL)


def upgrade() -> None:
    create_table(
        "aperture",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("aperture", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("radius_pix", sa.Double(), nullable=False, comment="pixels"),
        sa.Column(
            "fwhm_factor", sa.Double(), nullable=True, comment="radius / median FWHM; NULL: fixed"
        ),
        sa.PrimaryKeyConstraint("run_id", "aperture", name=op.f("pk_aperture")),
    )
    create_table(
        "attempt",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("process_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("worker_id", sa.String(length=36), nullable=True),
        sa.Column("claim_token", sa.String(length=36), nullable=True),
        sa.Column("started_us", sa.BigInteger(), nullable=True, comment="µs UTC, database clock"),
        sa.Column("finished_us", sa.BigInteger(), nullable=False, comment="µs UTC, database clock"),
        sa.Column("error_kind", sa.String(length=10), nullable=True),
        sa.Column("error_text", sa.Text(), nullable=True),
        sa.Column("cpu_s", sa.Double(), nullable=True, comment="user + system time, seconds"),
        sa.Column(
            "peak_memory_bytes",
            sa.BigInteger(),
            nullable=True,
            comment="largest resident size of the child so far",
        ),
        sa.Column("bytes_read", sa.BigInteger(), nullable=True, comment="from files, bytes"),
        sa.Column("bytes_written", sa.BigInteger(), nullable=True, comment="to files, bytes"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("process_id", "number", name=op.f("uq_attempt_process_id_number")),
    )
    create_table(
        "dependency",
        sa.Column("parent", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("child", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("parent", "child", name=op.f("pk_dependency")),
    )
    with op.batch_alter_table("dependency", schema=None) as batch_op:
        batch_op.create_index("ix_dependency_child", ["child", "parent"], unique=False)

    create_table(
        "flux",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("aperture", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "radius_pix", sa.Float(precision=24), nullable=False, comment="aperture radius, pixels"
        ),
        sa.Column(
            "flux", sa.Float(precision=24), nullable=True, comment="unit in reduction.flux_unit"
        ),
        sa.Column(
            "flux_error", sa.Float(precision=24), nullable=True, comment="1 sigma, unit of flux"
        ),
        sa.Column(
            "background", sa.Float(precision=24), nullable=True, comment="annulus, ADU per pixel"
        ),
        sa.Column(
            "background_rms",
            sa.Float(precision=24),
            nullable=True,
            comment="annulus, ADU per pixel",
        ),
        sa.Column(
            "x", sa.Float(precision=24), nullable=True, comment="centroid, 0-based frame pixel"
        ),
        sa.Column(
            "y", sa.Float(precision=24), nullable=True, comment="centroid, 0-based frame pixel"
        ),
        sa.Column(
            "peak", sa.Float(precision=24), nullable=True, comment="brightest pixel above sky, ADU"
        ),
        sa.Column("flags", sa.Integer(), nullable=False, comment="bits of FluxFlag"),
        sa.PrimaryKeyConstraint(
            "run_id", "source_id", "image_id", "aperture", name=op.f("pk_flux")
        ),
        sqlite_with_rowid=False,
    )
    create_table(
        "hardware_group",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hardware_group")),
        sa.UniqueConstraint("name", name=op.f("uq_hardware_group_name")),
    )
    create_table(
        "optical_filter",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_optical_filter")),
        sa.UniqueConstraint("name", name=op.f("uq_optical_filter_name")),
    )
    create_table(
        "process",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("command", sa.String(length=64), nullable=False, comment="name of the step"),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False, comment="smaller runs first"),
        sa.Column(
            "repeatable", sa.Boolean(), nullable=False, comment="0: fails when its worker vanishes"
        ),
        sa.Column(
            "pending", sa.Integer(), nullable=False, comment="parents that have not succeeded"
        ),
        sa.Column(
            "bad_parents",
            sa.Integer(),
            nullable=False,
            comment="parents failed, cancelled or blocked",
        ),
        sa.Column(
            "bad_counted",
            sa.Boolean(),
            nullable=False,
            comment="1: this row is counted in its children's bad_parents",
        ),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="number of claims so far"),
        sa.Column(
            "failures",
            sa.Integer(),
            nullable=False,
            comment="failed attempts since publish or rescue",
        ),
        sa.Column(
            "lease_losses",
            sa.Integer(),
            nullable=False,
            comment="vanished workers since publish or rescue",
        ),
        sa.Column(
            "not_before", sa.BigInteger(), nullable=False, comment="earliest next start, µs UTC"
        ),
        sa.Column(
            "dispatch_no", sa.Integer(), nullable=False, comment="how often handed to the broker"
        ),
        sa.Column("dispatched_at", sa.BigInteger(), nullable=True, comment="µs UTC"),
        sa.Column(
            "confirmed_at", sa.BigInteger(), nullable=True, comment="broker confirmed, µs UTC"
        ),
        sa.Column("claim_token", sa.String(length=36), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True, comment="µs UTC"),
        sa.Column("worker_id", sa.String(length=36), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("error_kind", sa.String(length=10), nullable=True),
        sa.Column("error_text", sa.Text(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False, comment="µs UTC"),
        sa.Column("started_us", sa.BigInteger(), nullable=True, comment="last claim, µs UTC"),
        sa.Column("finished_us", sa.BigInteger(), nullable=True, comment="µs UTC"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_process")),
    )
    with op.batch_alter_table("process", schema=None) as batch_op:
        batch_op.create_index("ix_process_badness", ["bad_counted", "state"], unique=False)
        batch_op.create_index(
            "ix_process_dispatch", ["state", "queue_id", "priority", "id"], unique=False
        )
        batch_op.create_index("ix_process_lease", ["state", "lease_until"], unique=False)
        batch_op.create_index("ix_process_run", ["run_id", "command", "state"], unique=False)

    create_table(
        "reference_group",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="within the run"),
        sa.Column("method", sa.String(length=24), nullable=False),
        sa.Column("position_bin", sa.Integer(), nullable=False),
        sa.Column("flux_bin", sa.Integer(), nullable=False),
        sa.Column("n_members", sa.Integer(), nullable=False),
        sa.Column("n_references", sa.Integer(), nullable=False),
        sa.Column("snr", sa.Double(), nullable=True, comment="group signal to noise"),
        sa.Column("note", sa.String(length=255), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reference_group")),
    )
    with op.batch_alter_table("reference_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reference_group_run_id"), ["run_id"], unique=False)

    create_table(
        "reference_member",
        sa.Column("group_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "weight",
            sa.Double(),
            nullable=False,
            comment="in the sum of references; 1 for plain groups",
        ),
        sa.Column(
            "is_borrowed", sa.Boolean(), nullable=False, comment="1: lent by a neighbouring bin"
        ),
        sa.PrimaryKeyConstraint("group_id", "source_id", name=op.f("pk_reference_member")),
    )
    create_table(
        "relative_flux",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("aperture", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "relative_flux",
            sa.Float(precision=24),
            nullable=True,
            comment="median 1 over good frames",
        ),
        sa.Column("relative_flux_error", sa.Float(precision=24), nullable=True, comment="1 sigma"),
        sa.Column(
            "flags",
            sa.Integer(),
            nullable=False,
            comment="bits of FluxFlag added by the comparison",
        ),
        sa.PrimaryKeyConstraint(
            "run_id", "source_id", "image_id", "aperture", name=op.f("pk_relative_flux")
        ),
        sqlite_with_rowid=False,
    )
    create_table(
        "run",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "run_key",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256 of recipe, version, parameters and inputs",
        ),
        sa.Column("recipe", sa.String(length=190), nullable=False),
        sa.Column("recipe_version", sa.Integer(), nullable=False),
        sa.Column(
            "parameters", sa.JSON(), nullable=False, comment="options of the run, as published"
        ),
        sa.Column("code_version", sa.String(length=64), nullable=False),
        sa.Column(
            "created_us",
            sa.BigInteger(),
            nullable=False,
            comment="µs since 1970 UTC, database clock",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("run_key", name=op.f("uq_run_run_key")),
    )
    create_table(
        "site",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column(
            "root", sa.Text(), nullable=False, comment="root folder of the site's files, absolute"
        ),
        sa.Column("address", sa.Text(), nullable=True, comment="URL of the site's file service"),
        sa.Column(
            "lease_s",
            sa.Double(),
            nullable=False,
            comment="length of a lease on a process, seconds",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site")),
        sa.UniqueConstraint("name", name=op.f("uq_site_name")),
    )
    create_table(
        "sky",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column("ra_deg", sa.Double(), nullable=True, comment="field centre, ICRS, degrees"),
        sa.Column("dec_deg", sa.Double(), nullable=True, comment="field centre, ICRS, degrees"),
        sa.Column(
            "template_image_id",
            sa.BigInteger(),
            nullable=True,
            comment="the template whose sources the next night is measured at",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sky")),
        sa.UniqueConstraint("name", name=op.f("uq_sky_name")),
    )
    create_table(
        "target",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("ra_deg", sa.Double(), nullable=True, comment="ICRS, degrees"),
        sa.Column("dec_deg", sa.Double(), nullable=True, comment="ICRS, degrees"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_target")),
        sa.UniqueConstraint("name", name=op.f("uq_target_name")),
    )
    create_table(
        "instrument",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column(
            "site_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="where its files arrive",
        ),
        sa.Column("latitude_deg", sa.Double(), nullable=True, comment="geodetic, degrees north"),
        sa.Column("longitude_deg", sa.Double(), nullable=True, comment="degrees east"),
        sa.Column("altitude_m", sa.Double(), nullable=True, comment="above sea level, metres"),
        sa.Column(
            "aperture_m", sa.Double(), nullable=True, comment="diameter of the telescope, metres"
        ),
        sa.Column("pixel_scale_arcsec", sa.Double(), nullable=True, comment="arcseconds per pixel"),
        sa.Column("gain_e_per_adu", sa.Double(), nullable=True, comment="electrons per ADU"),
        sa.Column("read_noise_e", sa.Double(), nullable=True, comment="electrons rms per pixel"),
        sa.Column("saturation_adu", sa.Double(), nullable=True, comment="raw ADU"),
        sa.Column("default_recipe", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_instrument_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instrument")),
        sa.UniqueConstraint("name", name=op.f("uq_instrument_name")),
    )
    create_table(
        "queue",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("group_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["hardware_group.id"], name=op.f("fk_queue_group_id")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_queue_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue")),
        sa.UniqueConstraint("site_id", "group_id", name=op.f("uq_queue_site_id_group_id")),
    )
    create_table(
        "source",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("sky_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("target_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("birth", sa.BigInteger(), nullable=False, comment="process that found it first"),
        sa.Column(
            "is_forced", sa.Boolean(), nullable=False, comment="1: placed by a person, not detected"
        ),
        sa.ForeignKeyConstraint(["sky_id"], ["sky.id"], name=op.f("fk_source_sky_id")),
        sa.ForeignKeyConstraint(["target_id"], ["target.id"], name=op.f("fk_source_target_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
    )
    with op.batch_alter_table("source", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_source_sky_id"), ["sky_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_source_target_id"), ["target_id"], unique=False)

    create_table(
        "worker",
        sa.Column("id", sa.String(length=36), nullable=False, comment="a fresh UUID"),
        sa.Column("host", sa.String(length=190), nullable=False),
        sa.Column("os_pid", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False, comment="comma-separated"),
        sa.Column("code_version", sa.String(length=64), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False, comment="µs UTC"),
        sa.Column("last_seen_us", sa.BigInteger(), nullable=False, comment="µs UTC"),
        sa.Column("stopped_us", sa.BigInteger(), nullable=True, comment="µs UTC; NULL: running"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_worker_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    create_table(
        "cross_match",
        sa.Column(
            "source_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("catalogue", sa.String(length=32), nullable=False),
        sa.Column(
            "neighbour",
            sa.SmallInteger(),
            autoincrement=False,
            nullable=False,
            comment="1 is the nearest",
        ),
        sa.Column("catalogue_id", sa.String(length=64), nullable=False),
        sa.Column(
            "separation_arcsec", sa.Double(), nullable=False, comment="at the epoch, arcseconds"
        ),
        sa.Column("ra_deg", sa.Double(), nullable=False, comment="at the epoch, ICRS, degrees"),
        sa.Column("dec_deg", sa.Double(), nullable=False, comment="at the epoch, ICRS, degrees"),
        sa.Column(
            "magnitude", sa.Float(precision=24), nullable=True, comment="catalogue's own band, mag"
        ),
        sa.Column(
            "is_variable", sa.Boolean(), nullable=True, comment="NULL: the catalogue does not say"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_cross_match_source_id")
        ),
        sa.PrimaryKeyConstraint("source_id", "catalogue", "neighbour", name=op.f("pk_cross_match")),
    )
    create_table(
        "observation",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column(
            "kind", sa.String(length=16), nullable=False, comment="bias, dark, flat or light"
        ),
        sa.Column("target_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("sky_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column(
            "instrument_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("filter_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column(
            "current_run_id",
            sa.BigInteger(),
            nullable=True,
            comment="the run that the view light_curve shows",
        ),
        sa.Column("created_us", sa.BigInteger(), nullable=False, comment="µs since 1970 UTC"),
        sa.ForeignKeyConstraint(
            ["filter_id"], ["optical_filter.id"], name=op.f("fk_observation_filter_id")
        ),
        sa.ForeignKeyConstraint(
            ["instrument_id"], ["instrument.id"], name=op.f("fk_observation_instrument_id")
        ),
        sa.ForeignKeyConstraint(["sky_id"], ["sky.id"], name=op.f("fk_observation_sky_id")),
        sa.ForeignKeyConstraint(
            ["target_id"], ["target.id"], name=op.f("fk_observation_target_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_observation")),
        sa.UniqueConstraint("name", name=op.f("uq_observation_name")),
    )
    with op.batch_alter_table("observation", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_observation_current_run_id"), ["current_run_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_observation_sky_id"), ["sky_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_observation_target_id"), ["target_id"], unique=False)

    create_table(
        "source_photometry",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "source_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("default_aperture", sa.SmallInteger(), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=True, comment="reference group used"),
        sa.Column("is_reference", sa.Boolean(), nullable=False),
        sa.Column(
            "n_epochs", sa.Integer(), nullable=False, comment="good frames with a relative flux"
        ),
        sa.Column(
            "mean_flux", sa.Double(), nullable=True, comment="over good frames, unit of the run"
        ),
        sa.Column("scatter", sa.Double(), nullable=True, comment="robust, of the relative flux"),
        sa.Column("expected_scatter", sa.Double(), nullable=True, comment="from the stored errors"),
        sa.Column(
            "von_neumann", sa.Double(), nullable=True, comment="von Neumann ratio; white noise: 2"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_source_photometry_source_id")
        ),
        sa.PrimaryKeyConstraint("run_id", "source_id", name=op.f("pk_source_photometry")),
    )
    create_table(
        "image",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.String(length=24),
            nullable=False,
            comment="bias, dark, flat, light or a product",
        ),
        sa.Column(
            "name", sa.String(length=190), nullable=False, comment="file name without folder"
        ),
        sa.Column(
            "observation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True
        ),
        sa.Column("run_id", sa.BigInteger(), nullable=True, comment="of a product; NULL: raw"),
        sa.Column(
            "birth", sa.BigInteger(), nullable=True, comment="process that made it; NULL: raw"
        ),
        sa.Column("width", sa.Integer(), nullable=False, comment="pixels along x"),
        sa.Column("height", sa.Integer(), nullable=False, comment="pixels along y"),
        sa.Column("binning", sa.Integer(), nullable=False),
        sa.Column("exposure_s", sa.Double(), nullable=True, comment="seconds"),
        sa.Column(
            "utc_start",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
            comment="exposure start, UTC",
        ),
        sa.Column(
            "utc_mid",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
            comment="mid-exposure, UTC",
        ),
        sa.Column(
            "fingerprint",
            sa.String(length=64),
            nullable=True,
            comment="SHA-256 of size, first and last 64 KiB: identity at registration",
        ),
        sa.Column(
            "header",
            sa.JSON(),
            nullable=False,
            comment="what was read from the header, or how a product was made",
        ),
        sa.ForeignKeyConstraint(
            ["observation_id"], ["observation.id"], name=op.f("fk_image_observation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint(
            "observation_id", "fingerprint", name=op.f("uq_image_observation_id_fingerprint")
        ),
    )
    with op.batch_alter_table("image", schema=None) as batch_op:
        batch_op.create_index("ix_image_birth", ["birth"], unique=False)
        batch_op.create_index("ix_image_name", ["name"], unique=False)

    create_table(
        "observation_target",
        sa.Column(
            "observation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column(
            "target_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("image_id", sa.BigInteger(), nullable=True, comment="frame of the position"),
        sa.Column("x", sa.Double(), nullable=True, comment="0-based pixel in that frame"),
        sa.Column("y", sa.Double(), nullable=True, comment="0-based pixel in that frame"),
        sa.ForeignKeyConstraint(
            ["observation_id"],
            ["observation.id"],
            name=op.f("fk_observation_target_observation_id"),
        ),
        sa.ForeignKeyConstraint(
            ["target_id"], ["target.id"], name=op.f("fk_observation_target_target_id")
        ),
        sa.PrimaryKeyConstraint("observation_id", "target_id", name=op.f("pk_observation_target")),
    )
    create_table(
        "reduction",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "observation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column(
            "flux_unit",
            sa.String(length=8),
            nullable=False,
            comment="unit of flux.flux: electron or adu",
        ),
        sa.Column(
            "template_image_id",
            sa.BigInteger(),
            nullable=True,
            comment="whose source positions the fluxes were measured at",
        ),
        sa.Column(
            "notes", sa.JSON(), nullable=False, comment="what was assumed or skipped, in words"
        ),
        sa.ForeignKeyConstraint(
            ["observation_id"], ["observation.id"], name=op.f("fk_reduction_observation_id")
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_reduction")),
    )
    with op.batch_alter_table("reduction", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_reduction_observation_id"), ["observation_id"], unique=False
        )

    create_table(
        "frame",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("aligned_by", sa.BigInteger(), nullable=False),
        sa.Column("is_aligned", sa.Boolean(), nullable=False),
        sa.Column(
            "is_stacked", sa.Boolean(), nullable=False, comment="1: in the partial stack of pass 1"
        ),
        sa.Column(
            "n_stars", sa.Integer(), nullable=True, comment="stars above the counting threshold"
        ),
        sa.Column(
            "n_matched", sa.Integer(), nullable=True, comment="stars matched with the reference"
        ),
        sa.Column(
            "residual_pix",
            sa.Float(precision=24),
            nullable=True,
            comment="rms of the match, pixels",
        ),
        sa.Column(
            "fwhm_pix",
            sa.Float(precision=24),
            nullable=True,
            comment="median of bright stars, pixels",
        ),
        sa.Column(
            "elongation",
            sa.Float(precision=24),
            nullable=True,
            comment="median a/b of bright stars",
        ),
        sa.Column(
            "sky_level", sa.Float(precision=24), nullable=True, comment="median background, ADU"
        ),
        sa.Column(
            "sky_rms",
            sa.Float(precision=24),
            nullable=True,
            comment="background rms per pixel, ADU",
        ),
        sa.Column(
            "transparency",
            sa.Float(precision=24),
            nullable=True,
            comment="median flux of bright stars relative to the reference frame",
        ),
        sa.Column("a", sa.Double(), nullable=True),
        sa.Column("b", sa.Double(), nullable=True),
        sa.Column("c", sa.Double(), nullable=True),
        sa.Column("d", sa.Double(), nullable=True),
        sa.Column("tx", sa.Double(), nullable=True, comment="pixels"),
        sa.Column("ty", sa.Double(), nullable=True, comment="pixels"),
        sa.Column(
            "utc_mid",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
            comment="mid-exposure, UTC",
        ),
        sa.Column("jd_utc_mid", sa.Double(), nullable=True, comment="mid-exposure, days"),
        sa.Column("bjd_tdb_mid", sa.Double(), nullable=True, comment="at the field centre, days"),
        sa.Column("dbjd_dxi", sa.Double(), nullable=True, comment="days per degree of xi"),
        sa.Column("dbjd_deta", sa.Double(), nullable=True, comment="days per degree of eta"),
        sa.Column("airmass", sa.Float(precision=24), nullable=True),
        sa.Column(
            "problem", sa.Text(), nullable=True, comment="why it could not be used, in words"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_frame_image_id")),
        sa.PrimaryKeyConstraint("run_id", "image_id", name=op.f("pk_frame")),
    )
    with op.batch_alter_table("frame", schema=None) as batch_op:
        batch_op.create_index("ix_frame_aligned_by", ["aligned_by"], unique=False)

    create_table(
        "frame_verdict",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("is_good", sa.Boolean(), nullable=False),
        sa.Column("reject_bits", sa.Integer(), nullable=False),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="which tests rejected it, and by how much"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_frame_verdict_image_id")),
        sa.PrimaryKeyConstraint("run_id", "image_id", name=op.f("pk_frame_verdict")),
    )
    create_table(
        "image_copy",
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "path",
            sa.Text(),
            nullable=False,
            comment="relative to the site's root, '/' as separator, valid on every platform",
        ),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.String(length=64), nullable=True, comment="SHA-256 of the file"),
        sa.Column("created_us", sa.BigInteger(), nullable=False, comment="µs since 1970 UTC"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_image_copy_image_id")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_image_copy_site_id")),
        sa.PrimaryKeyConstraint("image_id", "site_id", name=op.f("pk_image_copy")),
    )
    create_table(
        "reference_frame",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "canvas_x0",
            sa.Integer(),
            nullable=False,
            comment="reference pixel of the canvas's first column",
        ),
        sa.Column(
            "canvas_y0",
            sa.Integer(),
            nullable=False,
            comment="reference pixel of the canvas's first row",
        ),
        sa.Column("canvas_width", sa.Integer(), nullable=False, comment="pixels"),
        sa.Column("canvas_height", sa.Integer(), nullable=False, comment="pixels"),
        sa.Column(
            "stars",
            sa.LargeBinary()
            .with_variant(mysql.MEDIUMBLOB(), "mariadb")
            .with_variant(mysql.MEDIUMBLOB(), "mysql"),
            nullable=False,
            comment="star list of the reference frame, packed",
        ),
        sa.Column("limits", sa.JSON(), nullable=False, comment="provisional limits of pass 1"),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name=op.f("fk_reference_frame_image_id")
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_reference_frame")),
    )
    create_table(
        "sky_mesh",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "mesh",
            sa.LargeBinary()
            .with_variant(mysql.MEDIUMBLOB(), "mariadb")
            .with_variant(mysql.MEDIUMBLOB(), "mysql"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_sky_mesh_image_id")),
        sa.PrimaryKeyConstraint("run_id", "image_id", name=op.f("pk_sky_mesh")),
    )
    create_table(
        "source_position",
        sa.Column(
            "template_image_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
        ),
        sa.Column(
            "source_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("x", sa.Double(), nullable=False, comment="0-based pixel of the reference frame"),
        sa.Column("y", sa.Double(), nullable=False, comment="0-based pixel of the reference frame"),
        sa.Column("ra_deg", sa.Double(), nullable=True, comment="ICRS, degrees; NULL: no WCS"),
        sa.Column("dec_deg", sa.Double(), nullable=True, comment="ICRS, degrees; NULL: no WCS"),
        sa.Column("xi_deg", sa.Double(), nullable=True, comment="gnomonic offset, degrees"),
        sa.Column("eta_deg", sa.Double(), nullable=True, comment="gnomonic offset, degrees"),
        sa.Column(
            "flux", sa.Float(precision=24), nullable=True, comment="on the template, ADU per frame"
        ),
        sa.Column("peak", sa.Float(precision=24), nullable=True, comment="on the template, ADU"),
        sa.Column("fwhm_pix", sa.Float(precision=24), nullable=True, comment="pixels"),
        sa.Column("elongation", sa.Float(precision=24), nullable=True, comment="a/b"),
        sa.Column(
            "snr", sa.Float(precision=24), nullable=True, comment="signal to noise of the detection"
        ),
        sa.Column(
            "neighbour_pix",
            sa.Float(precision=24),
            nullable=True,
            comment="distance to the nearest other source, pixels",
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_source_position_source_id")
        ),
        sa.ForeignKeyConstraint(
            ["template_image_id"], ["image.id"], name=op.f("fk_source_position_template_image_id")
        ),
        sa.PrimaryKeyConstraint("template_image_id", "source_id", name=op.f("pk_source_position")),
    )
    create_table(
        "stack",
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "level",
            sa.Integer(),
            nullable=False,
            comment="0: partial stack of one chunk; the root is highest",
        ),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="order in time within the level"
        ),
        sa.Column("n_frames", sa.Integer(), nullable=False, comment="good frames in it"),
        sa.Column("jd_utc_mid", sa.Double(), nullable=True, comment="mean mid-exposure, days"),
        sa.Column("exposure_s", sa.Double(), nullable=False, comment="summed exposure, seconds"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_stack_image_id")),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_stack")),
    )
    with op.batch_alter_table("stack", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_stack_run_id"), ["run_id"], unique=False)

    op.execute(sa.text(LIGHT_CURVE_ALL))
    op.execute(sa.text(LIGHT_CURVE))


def downgrade() -> None:
    # Their indexes go with the tables; alone, MySQL keeps those that foreign keys use.
    op.execute(sa.text("DROP VIEW light_curve"))
    op.execute(sa.text("DROP VIEW light_curve_all"))

    op.drop_table("stack")
    op.drop_table("source_position")
    op.drop_table("sky_mesh")
    op.drop_table("reference_frame")
    op.drop_table("image_copy")
    op.drop_table("frame_verdict")
    op.drop_table("frame")
    op.drop_table("reduction")
    op.drop_table("observation_target")
    op.drop_table("image")
    op.drop_table("source_photometry")
    op.drop_table("observation")
    op.drop_table("cross_match")
    op.drop_table("worker")
    op.drop_table("source")
    op.drop_table("queue")
    op.drop_table("instrument")
    op.drop_table("target")
    op.drop_table("sky")
    op.drop_table("site")
    op.drop_table("run")
    op.drop_table("relative_flux")
    op.drop_table("reference_member")
    op.drop_table("reference_group")
    op.drop_table("process")
    op.drop_table("optical_filter")
    op.drop_table("hardware_group")
    op.drop_table("flux")
    op.drop_table("dependency")
    op.drop_table("attempt")
    op.drop_table("aperture")
