"""A catalogue from a file: any table that astropy reads."""

from collections.abc import Mapping
from pathlib import Path

from tianyu.pipelines.catalogues.stars import CatalogueStars, stars_of_table
from tianyu.pipelines.errors import MissingInputError, UnusableDataError

_FORMATS = {
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
    ".fits": "fits",
    ".vot": "votable",
    ".xml": "votable",
}
"""Where the ending says it; others are guessed."""


def read_catalogue_file(
    path: Path, *, columns: Mapping[str, str] | None = None, epoch: float | None = None
) -> CatalogueStars:
    """Read a catalogue; it is called by the name of its file.

    Parameters
    ----------
    path : Path
    columns : mapping of str to str, optional
        Columns by what they hold; see :func:`~tianyu.pipelines.catalogues.stars.stars_of_table`.
    epoch : float, optional
        Of the positions, Julian years; J2000 where neither this nor a column says it.

    Raises
    ------
    MissingInputError
        If there is no such file.
    UnusableDataError
        If it is no table, or lacks positions.
    """
    if not path.is_file():
        raise MissingInputError(f"there is no catalogue {path}; give the path of a table")
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    try:
        table = Table.read(path, format=_FORMATS.get(path.suffix.lower()))
    except Exception as error:  # readers raise what they like
        raise UnusableDataError(
            f"{path} is not a table that can be read ({type(error).__name__}: {error}); give "
            "CSV, ECSV, FITS or VOTable"
        ) from error
    return stars_of_table(table, path.stem[:32], columns=columns, epoch=epoch)
