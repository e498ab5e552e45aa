"""``tianyu run purge``: give back the disk that superseded runs still take.

A run needs its partial stacks, the stacks above them and its sky meshes only until it has
ended. Its template stays, since sources have their positions on it, and so do fluxes and
light curves.

Files go first and rows afterwards: a row says where its file lies, so that after an
interruption the same command finds what is left and ends the work. The other way round the
files would stay for ever, and nothing would name them. No step reads them meanwhile, because
the run has ended and cannot be rescued without them being missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection, delete, func, select

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.queries.runs import read_run
from tianyu.cli.words import plural
from tianyu.schema.database import Database
from tianyu.schema.directory import find_site
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.paths import resolve
from tianyu.schema.settings import load_settings
from tianyu.schema.states import TERMINAL, State
from tianyu.schema.tables import Image, ImageCopy, Observation, Process, SkyMesh, Stack
