"""Light curves of ended runs in a seventh of the space, for surveys that keep them for years."""

from sqlalchemy import Integer
from sqlalchemy.orm import Mapped, mapped_column

from tianyu.schema.base import Base


class PackedFlux(Base):
    """All fluxes and relative fluxes of one source in one run, instead of their rows.

    A source has either rows in ``flux`` and ``relative_flux`` or one here, never both: they
    change places in one transaction.
    """

    __tablename__ = "packed_flux"

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    source_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    n_fluxes: Mapped[int] = mapped_column(comment="rows of flux")
    n_relative_fluxes: Mapped[int] = mapped_column(comment="rows of relative_flux")
    packed: Mapped[bytes] = mapped_column(comment="a .npz; see tianyu.pipelines.packing")
