"""A network that breaks between a program and a server, in each of five ways.

Each of the four links is tried: managers and consumers, to the database and to the broker.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
from sqlalchemy.engine import make_url
from tests.integration.fire.conftest import IS_STORM
from tests.integration.fire.drill import Drill, at_once
from tests.servers.proxy import Proxy
from tests.storm.installation import Site

Fault = Callable[[Proxy], AbstractContextManager[object]]

FAULTS: dict[str, tuple[Fault, float]] = {
    "cut": (lambda p: at_once(p.cut), 0.0),
    "black hole": (lambda p: p.black_hole(), 3.0),
    "refused": (lambda p: p.refusing(), 1.0),
    "delay": (lambda p: p.slow(delay_s=0.2), 2.0),
    "half-close": (lambda p: at_once(p.half_close), 0.0),
    "trickle": (lambda p: p.slow(bytes_per_s=2000.0), 2.0),
    "forgotten": (lambda p: at_once(p.forget), 0.0),
}
SHORT = ("cut", "black hole", "half-close")
"""In every run; the others take longer and come in a storm."""

LINKS = ["manager-database", "manager-broker", "consumer-database", "consumer-broker"]
# The defaults are minutes, as a slow network wants it.
IMPATIENT = {"read_timeout": "6", "write_timeout": "6"}
HEARTBEAT = "?heartbeat=4"


@pytest.fixture
def cities() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def proxied(site: Site, link: str, stack: ExitStack) -> Proxy:
    """Start a manager and a consumer, one of them through a proxy to one of the servers."""
    who, server = link.split("-")
    database = make_url(site.database_url)
    assert database.host is not None
    assert database.port is not None
    broker = make_url(site.broker_url.replace("amqp", "mysql", 1))
    target = (
        (database.host, database.port)
        if server == "database"
        else (str(broker.host), int(broker.port or 5672))
    )
    proxy = stack.enter_context(Proxy(target))
    impatient = database.update_query_dict(IMPATIENT).render_as_string(hide_password=False)
    urls = {
        "database": {"database_url": proxy.through(impatient)},
        "broker": {"broker_url": proxy.through(site.broker_url) + HEARTBEAT},
    }
    for role in ("manager", "consumer"):
        site.start(role, **(urls[server] if role == who else {}))
    return proxy


@pytest.mark.slow
@pytest.mark.timeout(0 if IS_STORM else 280)
@pytest.mark.parametrize("link", LINKS)
def test_work_goes_on_after_the_network_broke(site: Site, link: str, cities: ExitStack) -> None:
    proxy = proxied(site, link, cities)
    drill = Drill(site)
    for name, (fault, lasting_s) in FAULTS.items():
        if IS_STORM or name in SHORT:
            drill.run(f"{link}: {name}", lambda fault=fault: fault(proxy), lasting_s)
    assert proxy.times_connected > 1
