"""Parameters that several steps share: where the telescope stands and where it looks."""

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
