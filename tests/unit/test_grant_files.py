"""``deploy/grants`` knows every table; what the rights are worth is tried on a real server."""

import re
from pathlib import Path

import pytest

from tianyu.schema.tables import metadata

GRANTS = Path(__file__).resolve().parents[2] / "deploy" / "grants"
GRANT = re.compile(r"^GRANT (.+) ON `tianyu`\.(\S+) TO 'tianyu_(\w+)'@'%';$", flags=re.MULTILINE)
OF_THE_OWNER = {"packed_flux"}
"""Filled by `tianyu pack`, which deletes rows."""
ROLES = ("publisher", "manager", "consumer", "reader")


def granted(role: str) -> set[tuple[str, str]]:
    return {(what, table) for what, table, _ in GRANT.findall((GRANTS / f"{role}.sql").read_text())}


def test_somebody_may_fill_every_table() -> None:
    filled = {table for role in ROLES for what, table in granted(role) if "INSERT" in what}
    assert sorted(metadata.tables.keys() - OF_THE_OWNER) == sorted(filled), (
        "a new table needs a right to fill it"
    )


@pytest.mark.parametrize("role", ROLES)
def test_each_file_is_about_its_role_and_tables_that_exist(role: str) -> None:
    text = (GRANTS / f"{role}.sql").read_text()
    assert {owner for _, _, owner in GRANT.findall(text)} == {role}
    tables = {table for _, table in granted(role)} - {"*", "alembic_version"}
    assert tables <= set(metadata.tables)
    assert text.count("GRANT ") == len(GRANT.findall(text)), "a grant that was not understood"


@pytest.mark.parametrize("role", ROLES)
def test_nobody_may_delete_measurements_or_pass_rights_on(role: str) -> None:
    renewed = {"observation_target", "cross_match"}
    assert {table for what, table in granted(role) if "DELETE" in what} <= renewed
    assert not [what for what, _ in granted(role) if re.search("ALL|GRANT|DROP|CREATE|FILE", what)]
