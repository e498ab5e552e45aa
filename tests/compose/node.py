"""A site without servers, under a project name, a root and secrets of its own."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.compose.project import Project
from tests.compose.stack import free_port


@dataclass
class Node(Project):
    """What ``deploy/site-node.compose.yml`` runs at an observatory.

    Attributes
    ----------
    site : str
        Its name.
    root : Path
        Folder of its files.
    frames : Path
        Folder of raw frames that commands see as /frames.
    secrets : Path
        The folder that was copied from where the servers are.
    address : str
        Where its file service listens.
    """

    site: str
    root: Path
    frames: Path
    secrets: Path
    address: str
    files_port: int = field(default_factory=free_port)

    @property
    def variables(self) -> dict[str, str]:
        """Variables of every command."""
        return {
            "COMPOSE_PROJECT_NAME": f"tianyu-acceptance-{self.site}",
            "COMPOSE_FILE": "deploy/site-node.compose.yml",
            "TIANYU_SITE": self.site,
            "TIANYU_ROOT": str(self.root),
            "TIANYU_FRAMES": str(self.frames),
            "TIANYU_SECRETS": str(self.secrets),
            "TIANYU_FILES_ADDRESS": self.address,
            "TIANYU_FILES_PORT": str(self.files_port),
        }

    @property
    def files_url(self) -> str:
        """Return where other sites find its file service."""
        return f"https://{self.address}:{self.files_port}"
