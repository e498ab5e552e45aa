"""What crosses a single frame, cosmic rays and trails, marked in its mask where a run asks."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.flux_plan import FluxPlan, stars_on
from tianyu.pipelines.measuring import MeasuredFrame, mark_cosmic_rays, mark_trails
from tianyu.pipelines.products import Products
from tianyu.pipelines.run_notes import tell
from tianyu.pipelines.science.cosmics import check_possible
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.step import StepParameters


class PassingLight(StepParameters):
    """Which of it to look for."""

    cosmic_rays: bool = Field(
        False, description="flag what cosmic rays have hit, by LA Cosmic: the extra `cosmics`"
    )
    trails: bool = Field(False, description="flag what trails of satellites cross")


def check_wanted(wanted: PassingLight, plan: FluxPlan) -> None:
    """Refuse at once what cannot be found in any frame.

    Raises
    ------
    UnusableDataError
        If cosmic rays cannot be told from stars.
    """
    if wanted.cosmic_rays:
        check_possible(plan.noise_gain, plan.fwhm_pix)


def mark_passing_light(
    image: MeasuredFrame,
    transform: AffineTransform,
    plan: FluxPlan,
    fwhm_pix: float | None,
    wanted: PassingLight,
) -> MeasuredFrame:
    """Return a frame with COSMIC_RAY and TRAIL in its mask, as far as they are wanted.

    Parameters
    ----------
    image : MeasuredFrame
    transform : AffineTransform
        From reference to frame pixels.
    plan : FluxPlan
        Its stars are left out where trails are sought.
    fwhm_pix : float or None
        Width of the stars of the frame; None: the night's.
    wanted : PassingLight
        That :func:`check_wanted` has let pass.
    """
    if not (wanted.cosmic_rays or wanted.trails):
        return image
    mask = image.mask
    if wanted.trails:
        x, y = transform.apply(plan.x, plan.y)
        stars, shape = stars_on(x, y, image.sky.rms, plan), (mask.shape[0], mask.shape[1])
        under_stars = np.zeros(shape, bool) if stars is None else stars.covered(shape)
        mask = mark_trails(image, under_stars, fwhm_pix or plan.fwhm_pix).mask
    if wanted.cosmic_rays and plan.noise_gain is not None:
        # A ray in a trail is a ray as well.
        mask = mask | mark_cosmic_rays(image, plan.noise_gain).mask
    return image.with_mask(mask)


def has_trail(image: MeasuredFrame, wanted: PassingLight) -> bool:
    """Tell whether a trail was found in a frame, where one was sought."""
    # Else the mask may have been made about the sources alone, with old memory between them.
    return wanted.trails and bool((image.mask & np.uint8(MaskBit.TRAIL)).any())


def note_trails(products: Products, context: StepContext, frames: Sequence[str]) -> None:
    """Note with the fluxes of a chunk in which of its frames trails were found."""
    if frames:
        note = {f"trails_{context.process_id}": f"trails cross {', '.join(frames)}"}
        tell(products, context.run_id, **note)
