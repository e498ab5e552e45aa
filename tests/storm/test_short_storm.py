"""A short storm in every run; ``make storm`` is the long one."""

from pathlib import Path

import pytest
from tests.integration.fire.conftest import IS_STORM
from tests.servers.mariadb import DatabaseServer
from tests.servers.rabbitmq import BrokerServer
from tests.storm.storm import Plan, sail


@pytest.mark.slow
@pytest.mark.timeout(0 if IS_STORM else 280)
def test_nothing_is_lost_or_doubled_in_a_short_storm(
    breakable_database_server: DatabaseServer,
    breakable_broker_server: BrokerServer,
    database_url: str,
    broker_url: str,
    tmp_path: Path,
) -> None:
    # The broker takes longer to start than this lasts; it dies in the long storm.
    servers = [breakable_database_server]
    plan = Plan(
        processes=150,
        seed=7,
        program_s=2.0,
        server_s=4.0,
        freeze_s=3.0,
        patience_s=200.0,
        lease_s=2.0,
        roles=("manager", "manager", "consumer", "consumer"),
    )
    result = sail(plan, database_url, broker_url, tmp_path, servers)
    assert result.is_good, f"{result}\n" + "\n".join(map(str, result.census.findings))
    assert sum(result.kills.values()) >= 3, f"it was too quiet: {result}"
