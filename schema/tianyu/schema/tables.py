"""All tables, imported so that the metadata is complete."""

from tianyu.schema.base import Base
from tianyu.schema.engine_tables import (
    Attempt,
    Dependency,
    HardwareGroup,
    Process,
    Queue,
    Run,
    Site,
    Worker,
)
from tianyu.schema.flux_tables import (
    Aperture,
    ApertureEllipse,
    Flux,
    FluxLevel,
    ReferenceGroup,
    ReferenceMember,
    RelativeFlux,
)
from tianyu.schema.image_tables import (
    Frame,
    FrameOverride,
    FrameVerdict,
    Image,
    ImageCopy,
    ReferenceFrame,
    SkyMesh,
    Stack,
)
from tianyu.schema.magnitude_tables import Magnitude, MagnitudeScale, ZeroPoint
from tianyu.schema.packed_tables import PackedFlux
from tianyu.schema.source_tables import (
    CrossMatch,
    SkyWcs,
    Source,
    SourcePhotometry,
    SourcePosition,
)
from tianyu.schema.stack_tables import StackEpoch, StackFlux, StackRelativeFlux
from tianyu.schema.survey_tables import (
    Instrument,
    Observation,
    ObservationTarget,
    OpticalFilter,
    Reduction,
    Sky,
    Target,
)

metadata = Base.metadata

__all__ = [
    "Aperture",
    "ApertureEllipse",
    "Attempt",
    "Base",
    "CrossMatch",
    "Dependency",
    "Flux",
    "FluxLevel",
    "Frame",
    "FrameOverride",
    "FrameVerdict",
    "HardwareGroup",
    "Image",
    "ImageCopy",
    "Instrument",
    "Magnitude",
    "MagnitudeScale",
    "Observation",
    "ObservationTarget",
    "OpticalFilter",
    "PackedFlux",
    "Process",
    "Queue",
    "Reduction",
    "ReferenceFrame",
    "ReferenceGroup",
    "ReferenceMember",
    "RelativeFlux",
    "Run",
    "Site",
    "Sky",
    "SkyMesh",
    "SkyWcs",
    "Source",
    "SourcePhotometry",
    "SourcePosition",
    "Stack",
    "StackEpoch",
    "StackFlux",
    "StackRelativeFlux",
    "Target",
    "Worker",
    "ZeroPoint",
    "metadata",
]
