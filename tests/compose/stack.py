"""A site with its servers, under a project name, ports and secrets of its own."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.compose.project import Project
from tests.servers.ports import free_ports

PLAIN = "docker-compose.yml"
OPENED = "docker-compose.yml:deploy/open-servers.compose.yml"


def free_port() -> int:
    """Draw a port that nobody listens on."""
    return free_ports(1)[0]


@dataclass
class Stack(Project):
    """One site with its servers.

    Attributes
    ----------
    frames : Path
        Folder of raw frames that containers see as /frames.
    secrets : Path
        Folder that ``deploy/make-secrets.sh`` fills.
    name : str
        Of the project.
    address : str
        Where servers are opened to other sites, with TLS; empty: nowhere.
    """

    frames: Path
    secrets: Path
    name: str = "tianyu-acceptance"
    address: str = ""
    mysql_port: int = field(default_factory=free_port)
    rabbitmq_port: int = field(default_factory=free_port)
    management_port: int = field(default_factory=free_port)
    prometheus_port: int = field(default_factory=free_port)

    @property
    def variables(self) -> dict[str, str]:
        """Variables of every command."""
        rabbitmq = "RABBITMQ_TLS_PORT" if self.address else "RABBITMQ_PORT"
        opened = {
            "TIANYU_SITE": "centre",
            "TIANYU_SERVERS_ADDRESS": self.address,
            "MYSQL_TLS_PORT": str(self.mysql_port),
        }
        return {
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_FILE": OPENED if self.address else PLAIN,
            "TIANYU_SECRETS": str(self.secrets),
            "TIANYU_FRAMES": str(self.frames),
            "MYSQL_PORT": str(self.mysql_port),
            rabbitmq: str(self.rabbitmq_port),
            "RABBITMQ_MANAGEMENT_PORT": str(self.management_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
        } | (opened if self.address else {})

    def make_secrets(self) -> None:
        """Make passwords."""
        self.script("deploy/make-secrets.sh", str(self.secrets))

    def database_url(self, role: str) -> str:
        """Return where the database answers on this machine."""
        url = (self.secrets / f"{role}_database_url").read_text()
        url = url.replace("@mysql/", f"@127.0.0.1:{self.mysql_port}/")
        return f"{url}?ssl_ca={self.secrets / 'ca.pem'}" if self.address else url

    def sql(self, statement: str) -> str:
        """Ask by the client in MySQL's container."""
        export = "MYSQL_PWD=$(cat /run/secrets/mysql_password)"
        shell = f'{export} mysql --user=tianyu --table tianyu --execute "{statement}"'
        return self.compose("exec", "-T", "mysql", "sh", "-c", shell)
