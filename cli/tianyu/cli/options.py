"""Options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="Such as sqlite:///OUT/tianyu.sqlite. Default: the setting database_url.",
    ),
]

OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder that tianyu reduce has filled."),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]

RunOption = Annotated[
    int | None, typer.Option("--run", metavar="RUN", help="Number of the run; see tianyu run list.")
]

ObservationOption = Annotated[
    str | None,
    typer.Option("--observation", metavar="NAME", help="Name or number of an observation."),
]

BrokerOption = Annotated[
    str | None,
    typer.Option(
        "--broker",
        metavar="URL",
        help="embedded: or amqp://USER@HOST/VHOST. Default: the setting broker_url.",
    ),
]

PositionsOption = Annotated[
    Path | None,
    typer.Option(
        "--positions",
        metavar="TABLE",
        help="Places to measure as given: columns name, and ra, dec or x, y, frame.",
    ),
]

StackLightCurvesOption = Annotated[
    str | None,
    typer.Option(
        "--stack-light-curves",
        metavar="N,Mmin,…",
        help="Also light curves on means of 5 frames, of 10min, …: 5,25,10min.",
    ),
]

ScienceSiteOption = Annotated[
    str | None,
    typer.Option(
        "--science-site",
        metavar="S",
        help="Site that makes the light curves; only stacks and rows go there. Default: the same.",
    ),
]

TargetOption = Annotated[
    str | None, typer.Option("--target", metavar="NAME", help="Name of the target.")
]

RaOption = Annotated[float | None, typer.Option("--ra", metavar="DEG", help="Of the target, ICRS.")]

DecOption = Annotated[
    float | None, typer.Option("--dec", metavar="DEG", help="Of the target, ICRS.")
]

SiteLatOption = Annotated[float | None, typer.Option("--site-lat", metavar="DEG", help="North.")]

SiteLonOption = Annotated[
    float | None, typer.Option("--site-lon", metavar="DEG", help="EAST positive.")
]

SiteAltOption = Annotated[float | None, typer.Option("--site-alt", metavar="M", help="Altitude.")]

GainOption = Annotated[
    float | None, typer.Option("--gain", metavar="E/ADU", help="Gain, where headers are silent.")
]

SaturationOption = Annotated[
    float | None,
    typer.Option("--saturation", metavar="ADU", help="Raw level at which pixels saturate."),
]

SiteOption = Annotated[
    str | None, typer.Option("--site", metavar="S", help="Default: the setting site.")
]

WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Processes at a time. Default: cores."),
]

ChunkOption = Annotated[
    int, typer.Option("--chunk", min=1, metavar="N", help="Frames per process.")
]

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STEP.NAME=VALUE", help="Parameter of a step; may be repeated."),
]

GpuOption = Annotated[
    bool,
    typer.Option("--gpu", help="Consumers of group gpu calibrate, align and measure the frames."),
]
