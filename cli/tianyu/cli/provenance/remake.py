"""The commands that make a run once more, from its raw files and stored parameters."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from tianyu.cli.provenance.images import names_of
from tianyu.publisher.recipes import LIVE
from tianyu.schema import pid
from tianyu.schema.tables import (
    Image,
    ImageCopy,
    Observation,
    Process,
    Reduction,
    Run,
    Site,
    Target,
)

AGAIN = "again"
"""Folder for the repetition; it must not be that of the first one."""
POSITIONS_FILE = "positions.csv"


def remake_commands(
    connection: Connection, run_id: int, *, root: Path | None = None, database: str | None = None
) -> list[str]:
    """Return commands for a shell: a reduction from the raw files, and a publication.

    The first works anywhere the raw files are and makes the same digits with the same software.
    The second is for the database as it stands, where the same run is not published twice:
    with another option it makes a run beside this one.

    Parameters
    ----------
    connection : Connection
    run_id : int
    root : Path, optional
        Where the site's files are, if not where the database says.
    database : str, optional
        URL of the database, where the setting does not name it.
    """
    run = connection.execute(
        select(Run.__table__, Observation.name.label("observation"), Observation.target_id)
        .join(Reduction, Reduction.run_id == Run.id)
        .join(Observation, Observation.id == Reduction.observation_id)
        .where(Run.id == run_id)
    ).one()
    parameters: Mapping[str, Any] = run.parameters
    surroundings = parameters.get("surroundings", {})
    options = _cut(parameters) + _settings(parameters.get("options", {}))
    commands = []
    reduce = ["tianyu", "reduce", *_folders(connection, run_id, surroundings, root)]
    reduce += ["--out", AGAIN, *_target(connection, run, surroundings)]
    positions = [t for t in surroundings.get("targets", []) if t.get("is_forced")]
    if positions:
        commands.append(_positions_table(connection, positions))
        reduce += ["--positions", POSITIONS_FILE]
    commands.append(shlex.join([*reduce, *_place(surroundings), *options]))
    publish = ["tianyu", "publish", run.observation, "--recipe", run.recipe, *options]
    if run.recipe == LIVE.name:
        # Frames come but once; what comes of all of them is the closing reduction.
        publish = ["tianyu", "observation", "close", run.observation]
    publish += ["--database", database] if database else []
    commands.append(shlex.join(publish))
    return commands


def _cut(parameters: Mapping[str, Any]) -> list[str]:
    names = {"chunk_frames": "--chunk", "fan_out": "--fan-out"}
    return [
        w for n, option in names.items() if n in parameters for w in (option, str(parameters[n]))
    ]


def _settings(options: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    for step, values in options.items():
        for name, value in values.items():
            found += ["--set", f"{step}.{name}={json.dumps(value)}"]
    return found


def _target(connection: Connection, run: Row[Any], surroundings: Mapping[str, Any]) -> list[str]:
    """Return the options that name the target; none where nobody did."""
    target = connection.execute(
        select(Target.__table__).where(Target.id == run.target_id)
    ).one_or_none()
    if target is None or target.kind == "field":
        return []
    words = ["--target", target.name]
    places = {t["target_id"]: t for t in surroundings.get("targets", [])}
    place = places.get(target.id, {})
    if place.get("ra_deg") is not None:
        words += ["--ra", repr(place["ra_deg"]), f"--dec={place['dec_deg']!r}"]
    if place.get("image_id") is not None:
        name = names_of(connection, [place["image_id"]])[place["image_id"]]
        words += ["--target-pixel", f"{place['x']!r},{place['y']!r}@{name}"]
    return words


def _place(surroundings: Mapping[str, Any]) -> list[str]:
    # With an equals sign, since a number below zero would be read as an option.
    place = surroundings.get("place", {})
    values = {
        "--site-lat": place.get("latitude_deg"),
        "--site-lon": place.get("longitude_deg"),
        "--site-alt": place.get("altitude_m"),
        "--gain": surroundings.get("gain_e_per_adu"),
        "--saturation": surroundings.get("saturation_adu"),
    }
    return [f"{option}={value!r}" for option, value in values.items() if value is not None]


def _positions_table(connection: Connection, positions: list[dict[str, Any]]) -> str:
    names = names_of(connection, [p["image_id"] for p in positions if p["image_id"] is not None])
    lines = ["name,ra,dec,x,y,frame"]
    for p in positions:
        values = [p["ra_deg"], p["dec_deg"], p["x"], p["y"]]
        cells = ["" if value is None else repr(value) for value in values]
        name = '"' + p["name"].replace('"', '""') + '"'
        lines.append(",".join([name, *cells, names.get(p["image_id"], "")]))
    return f"printf '%s\\n' {' '.join(map(shlex.quote, lines))} > {POSITIONS_FILE}"


def _folders(
    connection: Connection, run_id: int, surroundings: Mapping[str, Any], root: Path | None
) -> list[str]:
    """Return the folders of the raw frames, those of the masters first."""
    masters = [p for p in surroundings.get("calibration", {}).values() if p is not None]
    above = set()
    for process in masters:
        parameters = connection.scalar(
            select(Process.parameters).where(Process.id == pid.from_text(process))
        )
        above |= set((parameters or {}).get("frames", ())[:1])
        deeper = (parameters or {}).get("calibration", {}).values()
        masters += [p for p in deeper if p is not None and p not in masters]
    observations = select(Image.observation_id).where(Image.id.in_(above))
    own = select(Reduction.observation_id).where(Reduction.run_id == run_id)
    query = (
        select(Image.observation_id, ImageCopy.path, Site.root)
        .join(ImageCopy, ImageCopy.image_id == Image.id)
        .join(Site, Site.id == ImageCopy.site_id)
        .where(Image.birth.is_(None))
        .where(Image.observation_id.in_(observations) | Image.observation_id.in_(own))
        .order_by(Image.observation_id, Image.id)
    )
    folders = [
        str(((root or Path(row.root)).resolve() / row.path).parent)
        for row in connection.execute(query)
    ]
    return list(dict.fromkeys(folders))
