"""The template of a run: its file, and where it lies on the reference frame's pixels."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from tianyu.schema.paths import resolve
from tianyu.schema.tables import Image, ImageCopy, Reduction, Site


@dataclass(frozen=True)
class TemplateFile:
    """A template that can be read here; pixel (x, y) of the reference is (x − x0, y − y0)."""

    path: Path
    x0: int
    y0: int


def find_template(connection: Connection, run: int) -> TemplateFile | None:
    """Return the template of a run; None if no copy of it is within reach."""
    rows = connection.execute(
        select(Image.header, ImageCopy.path, Site.root)
        .join(Reduction, Reduction.template_image_id == Image.id)
        .join(ImageCopy, ImageCopy.image_id == Image.id)
        .join(Site, Site.id == ImageCopy.site_id)
        .where(Reduction.run_id == run)
        .order_by(Site.id)
    )
    for row in rows:
        path = resolve(Path(row.root), row.path)
        if path.is_file():
            header = row.header
            return TemplateFile(path, int(header["canvas_x0"]), int(header["canvas_y0"]))
    return None
