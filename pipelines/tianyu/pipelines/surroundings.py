"""Parameters that several steps share: where the telescope stands and looks, what people said."""

from pydantic import Field

from tianyu.pipelines.step import StepParameters


class Place(StepParameters):
    """Where the telescope stands; unknown parts leave airmass and BJD empty."""

    latitude_deg: float | None = Field(None, ge=-90, le=90)
    longitude_deg: float | None = Field(None, ge=-360, le=360, description="east positive")
    altitude_m: float | None = Field(None, ge=-500, le=10000)


class FieldCentre(StepParameters):
    """Where the telescope looks, ICRS degrees."""

    ra_deg: float | None = Field(None, ge=0, lt=360)
    dec_deg: float | None = Field(None, ge=-90, le=90)


class HandVerdict(StepParameters):
    """What a person said of a frame."""

    image_id: int
    is_good: bool
    author: str
    reason: str | None = None

    @property
    def text(self) -> str:
        """Who said what, and why."""
        said = f"{'accepted' if self.is_good else 'rejected'} by hand by {self.author}"
        return f"{said}: {self.reason}" if self.reason else said


class SkyTemplate(StepParameters):
    """A template of the sky that an earlier night has left."""

    run_id: int = Field(ge=1, description="run that made it")
    image_id: int = Field(ge=1, description="the template: fluxes are measured at its sources")
