"""A night's fluxes without its frames: rows of many stars in many frames, for the database path.

Frames, sources, verdicts and a reduction are entered as the steps would have left them; what is
measured afterwards are loading the fluxes, reading one star back, and relative photometry.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, insert, select

from tianyu.publisher.observations import ObservationSpec, ensure_observation
from tianyu.publisher.survey import InstrumentFacts, ensure_instrument, ensure_sky
from tianyu.schema.bulk import insert_columns
from tianyu.schema.database import Database
from tianyu.schema.directory import ensure_site
from tianyu.schema.tables import (
    Aperture,
    Flux,
    Frame,
    FrameVerdict,
    Image,
    Reduction,
    Source,
    SourcePosition,
)
from tianyu.schema.transitions.publish import RunSpec, insert_run

CADENCE_S = 25.0
START = datetime(2025, 3, 17, 2, 50, tzinfo=UTC).replace(tzinfo=None)
JD_START = 2460751.618


@dataclass(frozen=True)
class CurveNight:
    """A reduction that waits for its fluxes.

    Attributes
    ----------
    source_id, image_id : ndarray of int
    flux : ndarray, shape (n_source, n_frame)
        ADU, with the photon noise of each star and the transparency of each frame.
    """

    site_id: int
    run_id: int
    source_id: np.ndarray
    image_id: np.ndarray
    flux: np.ndarray
    n_apertures: int

    def columns(self, frames: slice, source_ids: np.ndarray | None = None) -> dict[str, Any]:
        """Return the rows of some frames as columns, in the order of the key."""
        sources = self.source_id if source_ids is None else source_ids
        images = self.image_id[frames]
        shape = len(sources), len(images), self.n_apertures
        flux = np.broadcast_to(self.flux[: len(sources), frames, None], shape)
        wide = {
            "source_id": sources[:, None, None],
            "image_id": images[None, :, None],
            "aperture": np.arange(self.n_apertures)[None, None, :],
        }
        full = {name: np.broadcast_to(values, shape).ravel() for name, values in wide.items()}
        flat = flux.ravel()
        return {
            "run_id": np.full(flat.size, self.run_id),
            **full,
            "radius_pix": 3.0 + 1.5 * full["aperture"],
            "flux": flat,
            "flux_error": np.sqrt(np.abs(flat) + 400.0),
            "background": 0.01 * np.cos(flat),
            "background_rms": 5.0 + 0.1 * np.sin(flat),
            "x": 10.0 + 2.0 * full["source_id"] + 0.01 * np.cos(flat),
            "y": 20.0 + 2.0 * full["source_id"] + 0.01 * np.sin(flat),
            "peak": 0.1 * flat,
            "flags": np.zeros(flat.size, np.int64),
        }


def enter_night(
    database: Database, root: Path, n_sources: int, n_frames: int, n_apertures: int = 1
) -> CurveNight:
    """Enter everything of a night but its fluxes."""
    rng = np.random.default_rng(11)
    with database.write() as connection:
        site_id = ensure_site(connection, "local", root, 60.0)
        instrument = ensure_instrument(connection, "Camera", site_id, InstrumentFacts())
        sky_id = ensure_sky(connection, "field", ra_deg=150.0, dec_deg=25.0)
        spec = ObservationSpec("night", "light", instrument, sky_id=sky_id)
        observation_id = ensure_observation(connection, spec)
        run_id = insert_run(connection, RunSpec("curves", "light_curves", 1, {}, "1", []))
        images = _enter_images(connection, observation_id, n_frames)
        template, light = int(images[0]), images[1:]
        sources = _enter_sources(connection, sky_id, template, n_sources, rng)
        _enter_frames(connection, run_id, light)
        apertures = {"run_id": run_id, "fwhm_factor": None}
        radii = [{"aperture": i, "radius_pix": 3.0 + 1.5 * i} for i in range(n_apertures)]
        connection.execute(insert(Aperture), [apertures | radius for radius in radii])
        connection.execute(
            insert(Reduction).values(
                run_id=run_id, observation_id=observation_id, flux_unit="adu",
                template_image_id=template, notes={},
            )
        )  # fmt: skip
    mean = 10.0 ** rng.uniform(3.0, 6.0, n_sources)
    transparency = 1.0 + 0.02 * rng.standard_normal(n_frames)
    flux = mean[:, None] * transparency[None, :]
    flux += np.sqrt(flux + 400.0) * rng.standard_normal(flux.shape)
    return CurveNight(site_id, run_id, sources, light, flux, n_apertures)


def load_fluxes(database: Database, night: CurveNight, chunk_frames: int = 64) -> None:
    """Load all fluxes by chunks of frames, each in a transaction, as the steps do."""
    for start in range(0, len(night.image_id), chunk_frames):
        with database.write() as connection:
            columns = night.columns(slice(start, start + chunk_frames))
            insert_columns(connection, Flux.__table__, columns)


def _enter_images(connection: Connection, observation_id: int, n_frames: int) -> np.ndarray:
    common = {"width": 2048, "height": 2048, "binning": 1, "header": {}, "exposure_s": 20.0}
    rows = [common | {"kind": "template", "name": "template.fits", "utc_start": START}]
    rows += [
        common
        | {"kind": "light", "name": f"light_{i:04d}.fits"}
        | {"utc_start": START + timedelta(seconds=CADENCE_S * i)}
        for i in range(n_frames)
    ]
    connection.execute(insert(Image), [{"observation_id": observation_id} | row for row in rows])
    return np.array(connection.scalars(select(Image.id).order_by(Image.id)).all())


def _enter_sources(
    connection: Connection, sky_id: int, template: int, n: int, rng: np.random.Generator
) -> np.ndarray:
    connection.execute(insert(Source), [{"sky_id": sky_id, "birth": 1, "is_forced": False}] * n)
    ids = np.array(connection.scalars(select(Source.id).order_by(Source.id)).all())
    x, y = rng.uniform(20.0, 2028.0, (2, n))
    columns = {
        "template_image_id": np.full(n, template), "source_id": ids, "x": x, "y": y,
        "ra_deg": 150.0 + (x - 1024.0) / 6000.0, "dec_deg": 25.0 + (y - 1024.0) / 6000.0,
        "neighbour_pix": rng.uniform(15.0, 60.0, n),
    }  # fmt: skip
    insert_columns(connection, SourcePosition.__table__, columns)
    return ids


def _enter_frames(connection: Connection, run_id: int, images: np.ndarray) -> None:
    n = len(images)
    days = np.arange(n) * CADENCE_S / 86400.0
    one, zero = np.ones(n), np.zeros(n)
    columns = {
        "run_id": np.full(n, run_id), "image_id": images, "aligned_by": np.ones(n, np.int64),
        "is_aligned": np.ones(n, np.int64), "is_stacked": np.ones(n, np.int64),
        "n_stars": np.full(n, 900), "fwhm_pix": np.full(n, 2.8), "sky_rms": np.full(n, 8.0),
        "transparency": one, "a": one, "b": zero, "c": zero, "d": one, "tx": zero, "ty": zero,
        "jd_utc_mid": JD_START + days, "bjd_tdb_mid": JD_START + 0.005 + days,
        "dbjd_dxi": zero, "dbjd_deta": zero, "airmass": 1.1 + 0.2 * days,
    }  # fmt: skip
    insert_columns(connection, Frame.__table__, columns)
    verdicts = {
        "run_id": np.full(n, run_id), "image_id": images, "is_good": np.ones(n, np.int64),
        "reject_bits": np.zeros(n, np.int64), "reason": [""] * n,
    }  # fmt: skip
    insert_columns(connection, FrameVerdict.__table__, verdicts)


def n_fluxes(database: Database) -> int:
    """Count the rows that are there."""
    with database.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(Flux)) or 0)
