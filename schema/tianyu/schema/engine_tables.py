"""Tables of the process engine; it runs any directed acyclic graph and knows nothing of images."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tianyu.schema.base import Base, Microseconds, Name, Pid, Serial


class Site(Base):
    """One file system and network address."""

    __tablename__ = "site"

    id: Mapped[Serial]
    name: Mapped[Name] = mapped_column(unique=True)
    root: Mapped[str] = mapped_column(Text, comment="root folder of the site's files, absolute")
    address: Mapped[str | None] = mapped_column(Text, comment="URL of the site's file service")
    lease_s: Mapped[float] = mapped_column(comment="length of a lease on a process, seconds")


class HardwareGroup(Base):
    """Consumers that share a kind of hardware: cpu, bigmem, gpu, camera."""

    __tablename__ = "hardware_group"

    id: Mapped[Serial]
    name: Mapped[Name] = mapped_column(unique=True)


class Queue(Base):
    """One queue per site and group."""

    __tablename__ = "queue"
    __table_args__ = (UniqueConstraint("site_id", "group_id"),)

    id: Mapped[Serial]
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"))
    group_id: Mapped[int] = mapped_column(ForeignKey("hardware_group.id"))


class Run(Base):
    """All processes published together in one transaction."""

    __tablename__ = "run"

    id: Mapped[Serial]
    run_key: Mapped[str] = mapped_column(
        String(64), unique=True, comment="SHA-256 of recipe, version, parameters and inputs"
    )
    recipe: Mapped[Name]
    recipe_version: Mapped[int]
    parameters: Mapped[dict[str, Any]] = mapped_column(comment="options of the run, as published")
    code_version: Mapped[str] = mapped_column(String(64))
    created_us: Mapped[Microseconds] = mapped_column(comment="µs since 1970 UTC, database clock")


class Process(Base):
    """One unit of work."""

    __tablename__ = "process"
    __table_args__ = (
        # A poll reads the head of this index: its cost does not grow with what waits.
        Index("ix_process_dispatch", "state", "queue_id", "priority", "id"),
        Index("ix_process_lease", "state", "lease_until"),
        Index("ix_process_badness", "bad_counted", "state"),
        Index("ix_process_run", "run_id", "command", "state"),
    )

    id: Mapped[Pid] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[int] = mapped_column(BigInteger)
    command: Mapped[str] = mapped_column(String(64), comment="name of the step")
    parameters: Mapped[dict[str, Any]]
    queue_id: Mapped[int]
    state: Mapped[str] = mapped_column(String(10))
    priority: Mapped[int] = mapped_column(SmallInteger, comment="smaller runs first")
    repeatable: Mapped[bool] = mapped_column(comment="0: fails when its worker vanishes")
    pending: Mapped[int] = mapped_column(comment="parents that have not succeeded")
    bad_parents: Mapped[int] = mapped_column(comment="parents failed, cancelled or blocked")
    bad_counted: Mapped[bool] = mapped_column(
        comment="1: this row is counted in its children's bad_parents"
    )
    attempt: Mapped[int] = mapped_column(comment="number of claims so far")
    failures: Mapped[int] = mapped_column(comment="failed attempts since publish or rescue")
    lease_losses: Mapped[int] = mapped_column(comment="vanished workers since publish or rescue")
    not_before: Mapped[Microseconds] = mapped_column(comment="earliest next start, µs UTC")
    dispatch_no: Mapped[int] = mapped_column(comment="how often handed to the broker")
    dispatched_at: Mapped[Microseconds | None] = mapped_column(comment="µs UTC")
    confirmed_at: Mapped[Microseconds | None] = mapped_column(comment="broker confirmed, µs UTC")
    claim_token: Mapped[str | None] = mapped_column(String(36))
    lease_until: Mapped[Microseconds | None] = mapped_column(comment="µs UTC")
    worker_id: Mapped[str | None] = mapped_column(String(36))
    cancel_requested: Mapped[bool]
    error_kind: Mapped[str | None] = mapped_column(String(10))
    error_text: Mapped[str | None] = mapped_column(Text)
    created_us: Mapped[Microseconds] = mapped_column(comment="µs UTC")
    started_us: Mapped[Microseconds | None] = mapped_column(comment="last claim, µs UTC")
    finished_us: Mapped[Microseconds | None] = mapped_column(comment="µs UTC")


class Dependency(Base):
    """An edge: the child may start when the parent has succeeded."""

    __tablename__ = "dependency"
    __table_args__ = (Index("ix_dependency_child", "child", "parent"),)

    parent: Mapped[Pid] = mapped_column(primary_key=True, autoincrement=False)
    child: Mapped[Pid] = mapped_column(primary_key=True, autoincrement=False)


class Attempt(Base):
    """One ended claim of a process by one worker; rows are only ever added.

    A running attempt is described by its process row; whoever ends it adds the row here.
    """

    __tablename__ = "attempt"
    __table_args__ = (UniqueConstraint("process_id", "number"),)

    id: Mapped[Serial]
    process_id: Mapped[Pid]
    number: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(10))
    worker_id: Mapped[str | None] = mapped_column(String(36))
    claim_token: Mapped[str | None] = mapped_column(String(36))
    started_us: Mapped[Microseconds | None] = mapped_column(comment="µs UTC, database clock")
    finished_us: Mapped[Microseconds] = mapped_column(comment="µs UTC, database clock")
    error_kind: Mapped[str | None] = mapped_column(String(10))
    error_text: Mapped[str | None] = mapped_column(Text)
    cpu_s: Mapped[float | None] = mapped_column(comment="user + system time, seconds")
    peak_memory_bytes: Mapped[int | None] = mapped_column(
        BigInteger, comment="largest resident size of the child so far"
    )
    bytes_read: Mapped[int | None] = mapped_column(BigInteger, comment="from files, bytes")
    bytes_written: Mapped[int | None] = mapped_column(BigInteger, comment="to files, bytes")


class Worker(Base):
    """One start of a consumer."""

    __tablename__ = "worker"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, comment="a fresh UUID")
    host: Mapped[Name]
    os_pid: Mapped[int]
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"))
    groups: Mapped[str] = mapped_column(Text, comment="comma-separated")
    code_version: Mapped[str] = mapped_column(String(64))
    software: Mapped[dict[str, Any] | None] = mapped_column(
        comment="versions of Python and of the packages that compute"
    )
    started_us: Mapped[Microseconds] = mapped_column(comment="µs UTC")
    last_seen_us: Mapped[Microseconds] = mapped_column(comment="µs UTC")
    stopped_us: Mapped[Microseconds | None] = mapped_column(comment="µs UTC; NULL: running")
