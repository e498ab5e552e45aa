"""Whether a file service can do its job."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tianyu.cli.fileservice.copies import SiteFiles


@dataclass(frozen=True)
class FileServiceHealth:
    """Judges the file service of one site."""

    files: SiteFiles

    def complaints(self, patience_s: float) -> list[str]:  # noqa: ARG002 - it tells what is so now
        """Return what keeps it from sending files, in words."""
        return self.unready()

    def unready(self) -> list[str]:
        """Return why it would send nothing now."""
        found = []
        try:
            with self.files.database.read() as connection:
                connection.execute(text("SELECT 1"))
        except DBAPIError as error:
            found.append(f"the database does not answer: {error.orig}")
        if not self.files.root.is_dir():
            found.append(f"the site's root {self.files.root} is not there; is it mounted?")
        return found

    def hang_ups(self) -> list[str]:
        """Return what only a restart mends: nothing that is known."""
        return []
