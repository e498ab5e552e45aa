"""Bring images to this site from the sites that hold them."""

from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator
from sqlalchemy import Connection, select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import MissingInputError, PermanentError
from tianyu.pipelines.filelink import LinkOptions, RemoteFile
from tianyu.pipelines.products import Products
from tianyu.pipelines.pulling import pull
from tianyu.pipelines.step import ProcessId, StepParameters, step
from tianyu.schema.dialects import now_us
from tianyu.schema.paths import received_path
from tianyu.schema.settings import load_settings
from tianyu.schema.tables import Image, ImageCopy, Site


class Transfer(StepParameters):
    """Parameters of a transfer: what a process made, or images by their numbers."""

    source: ProcessId | None = Field(None, description="process whose files are brought here")
    images: tuple[int, ...] = Field((), description="images that are brought here")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if (self.source is None) == (not self.images):
            raise ValueError("give the process whose files to bring, or images, and not both")
        return self


@dataclass(frozen=True)
class _Image:
    id: int
    name: str


@dataclass(frozen=True)
class _Copy:
    """A copy at another site; ``address`` is that of the site's file service."""

    site: str
    address: str | None
    size_bytes: int
    sha256: str | None


@step("transfer", parameters=Transfer, reads=(), writes=("image_copy",), time_limit_s=24 * 3600.0)
def transfer(parameters: Transfer, context: StepContext) -> Products:
    """Copy images from the file service of the site that holds them, whole and checked."""
    products = Products()
    with context.database.read() as connection:
        wanted = _wanted(connection, parameters)
        here = _copies(connection, [image.id for image in wanted], at=context.site_id)
        absent = [image for image in wanted if image.id not in here]
        elsewhere = _copies(connection, [image.id for image in absent], at=None)
    options = _link_options()
    for done, image in enumerate(absent):
        context.progress(done, len(absent))
        if image.id not in elsewhere:
            raise MissingInputError(
                f"no site with a file service holds image {image.id}, {image.name}; give the "
                "site's address: tianyu site add NAME --address URL"
            )
        _bring(context, products, image, elsewhere[image.id], options)
    return products


def _wanted(connection: Connection, parameters: Transfer) -> list[_Image]:
    query = select(Image.id, Image.name).order_by(Image.id)
    if parameters.source is not None:
        made = query.where(Image.birth == parameters.source)
        return [_Image(row.id, row.name) for row in connection.execute(made)]
    named = query.where(Image.id.in_(parameters.images))
    found = [_Image(row.id, row.name) for row in connection.execute(named)]
    unknown = set(parameters.images) - {image.id for image in found}
    if unknown:
        raise MissingInputError(f"there is no image {min(unknown)}; register it first")
    return found


def _copies(connection: Connection, image_ids: list[int], *, at: int | None) -> dict[int, _Copy]:
    """Return a copy of each image at one site; with None, at any site that sends its files."""
    query = (
        select(
            ImageCopy.image_id,
            ImageCopy.size_bytes,
            ImageCopy.checksum,
            Site.address,
            Site.name.label("site"),
        )
        .join(Site, Site.id == ImageCopy.site_id)
        .where(ImageCopy.image_id.in_(image_ids))
        .order_by(Site.id.desc())
    )
    place = Site.address.is_not(None) if at is None else Site.id == at
    return {
        row.image_id: _Copy(row.site, row.address, row.size_bytes, row.checksum)
        for row in connection.execute(query.where(place))
    }


def _link_options() -> LinkOptions:
    settings = load_settings()
    return LinkOptions(
        token=settings.file_token.get_secret_value(),
        tls_ca=settings.file_tls_ca or settings.tls_ca,
        tls_certificate=settings.tls_certificate,
        tls_key=settings.tls_key,
        limit_bytes_per_s=settings.transfer_limit_bytes_per_s,
    )


def _bring(
    context: StepContext,
    products: Products,
    image: _Image,
    copy: _Copy,
    options: LinkOptions,
) -> None:
    """Pull one image and let its copy be known with the success of this process."""
    relative = received_path(image.id, image.name)
    if options.tls_ca is not None and not str(copy.address).startswith("https:"):
        raise PermanentError(
            f"certificates are to be checked, but the address of site {copy.site} is "
            f"{copy.address}, which is not encrypted; serve its files with TLS and give the "
            "address as https://…"
        )
    remote = RemoteFile(
        url=f"{str(copy.address).rstrip('/')}/images/{image.id}",
        size_bytes=copy.size_bytes,
        sha256=copy.sha256,
    )

    def count(n_bytes: int, _total: int) -> None:
        context.traffic.written += n_bytes

    sha256 = pull(remote, context.file_of(relative), options, count)
    values = {
        "image_id": image.id,
        "site_id": context.site_id,
        "path": relative,
        "size_bytes": copy.size_bytes,
        "checksum": sha256,
    }
    products.then(lambda connection: _note_copy(connection, values))


def _note_copy(connection: Connection, values: dict[str, object]) -> None:
    """Insert a copy, unless another run has brought it meanwhile."""
    is_here = select(ImageCopy.image_id).where(
        ImageCopy.image_id == values["image_id"], ImageCopy.site_id == values["site_id"]
    )
    if connection.scalar(is_here) is None:
        Products.insert_row(connection, ImageCopy, **values, created_us=now_us())
