"""Gaia DR3 around a place: by astroquery from the archive, once; afterwards from the disk.

An answer is kept as the VOTable that came, named after a hash of archive and query. Centre and
radius are rounded first, so that the nights of a field share one answer.
"""

import hashlib
import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tianyu.pipelines.catalogues.stars import CatalogueStars, stars_of_table
from tianyu.pipelines.errors import UnusableDataError

if TYPE_CHECKING:  # slow to import, and most runs ask for no catalogue
    from astropy.table import Table

ARCHIVE_URL = "https://gea.esac.esa.int/tap-server/tap"
NAME = "gaia_dr3"
TIMEOUT_S = 60.0

STEP_DEG = 0.05
"""Centres are rounded to this and radii up to it; the radius makes good for the centre."""

# Both terms of the magnitude: a null is fainter than any limit, and no use.
QUERY = """SELECT source_id, ra, dec, pmra, pmdec, ref_epoch, phot_g_mean_mag, bp_rp,
phot_variable_flag
FROM gaiadr3.gaia_source
WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra:.2f}, {dec:.2f}, {radius:.2f}))
AND phot_g_mean_mag <= {limit:.1f}
ORDER BY phot_g_mean_mag"""


class ArchiveUnreachableError(UnusableDataError):
    """The archive gave no usable answer, and none is on the disk."""


@dataclass(frozen=True)
class Cone:
    """A circle on the sky, degrees."""

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def rounded(self) -> "Cone":
        """Return a circle of round numbers that holds this one."""
        dec = max(-90.0, min(90.0, round(self.dec_deg / STEP_DEG) * STEP_DEG))
        # Near a pole a step of right ascension is hardly a step.
        ra = round(self.ra_deg / STEP_DEG) * STEP_DEG % 360.0
        moved = math.hypot(STEP_DEG / 2.0, STEP_DEG / 2.0)
        radius = math.ceil((self.radius_deg + moved) / STEP_DEG) * STEP_DEG
        return Cone(ra, dec, min(radius, 180.0))


def default_cache() -> Path:
    """Return the folder for answers where none is set."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tianyu" / "catalogues"


def gaia_stars(
    cone: Cone, cache: Path, *, faint_limit_mag: float = 18.0, url: str = ARCHIVE_URL
) -> tuple[CatalogueStars, bool]:
    """Return the stars in a circle, and whether they came from the disk.

    Parameters
    ----------
    cone : Cone
    cache : Path
        Folder of answers; made where it is not there.
    faint_limit_mag : float
        Faintest G magnitude.
    url : str
        Of the archive's TAP service.

    Raises
    ------
    ArchiveUnreachableError
        If the archive cannot be reached or its answer is no table, and none is on the disk.
    """
    around = cone.rounded()
    query = QUERY.format(
        ra=around.ra_deg, dec=around.dec_deg, radius=around.radius_deg, limit=faint_limit_mag
    )
    key = hashlib.sha256(f"{url}\n{query}".encode()).hexdigest()[:32]
    kept = cache / f"{NAME}-{key}.vot"
    is_cached = kept.is_file()
    table = _read(kept) if is_cached else _asked(query, url, kept)
    return stars_of_table(table, NAME), is_cached


def _read(kept: Path) -> "Table":
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    return Table.read(kept, format="votable")


def _asked(query: str, url: str, kept: Path) -> "Table":
    """Ask the archive and keep the answer; a half one is never kept."""
    try:
        with _patience(TIMEOUT_S):
            table = _launch(query, url)
    except Exception as error:  # astroquery lets errors of every layer below it through
        raise ArchiveUnreachableError(
            f"Gaia's archive at {url} gave no answer ({type(error).__name__}: {error}); give a "
            "catalogue file, or publish again with --fresh once it can be reached"
        ) from error
    kept.parent.mkdir(parents=True, exist_ok=True)
    temporary = kept.with_name(f".{kept.name}.{os.getpid()}.tmp")
    try:
        table.write(temporary, format="votable")
        temporary.replace(kept)
    finally:
        temporary.unlink(missing_ok=True)
    return table


def _launch(query: str, url: str) -> "Table":
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    # Not astroquery.gaia: importing that asks the archive for its news, reachable or not.
    from astroquery.utils.tap import TapPlus  # noqa: PLC0415 - slow to import

    # The archive cuts answers of synchronous queries at 2000 rows.
    job: Any = TapPlus(url=url).launch_job_async(query, output_format="votable")
    result = job.get_results()
    if not isinstance(result, Table) or "source_id" not in map(str.lower, result.colnames):
        raise ValueError("the answer is not a table of Gaia sources")
    return result


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Let no connection wait for ever: astroquery opens its own, without a limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
