"""What the file service answers: one file by the number of its image, whole or in part."""

import hmac
import logging

from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from tianyu.cli.fileservice.copies import SiteFiles
from tianyu.schema.errors import ConfigurationError, UnsafePathError

logger = logging.getLogger(__name__)

LEAST_TOKEN_CHARACTERS = 16
LARGEST_ID = 2**63 - 1


def application(files: SiteFiles, token: str) -> Starlette:
    """Return the service as an ASGI application.

    ``GET /images/ID`` sends the file of an image, or with ``Range`` a part of it; its ETag is the
    SHA-256 of the whole. No path of a request ever becomes a path of a file.

    Parameters
    ----------
    files : SiteFiles
    token : str
        Requests must bear it.

    Raises
    ------
    ConfigurationError
        If the token is too short to keep anybody out.
    """
    check_token(token)

    async def image(request: Request) -> Response:
        if not _is_invited(request, token):
            return PlainTextResponse(
                "the token is missing or wrong\n", 401, {"WWW-Authenticate": "Bearer"}
            )
        # A number of more digits than any id has is no id.
        image_id = int(request.path_params["image_id"])
        if image_id > LARGEST_ID:
            return _none()
        try:
            found = await run_in_threadpool(files.find, image_id)
        except DBAPIError as error:
            logger.warning("the database is away: %s", error.orig, extra={"action": "wait"})
            return PlainTextResponse("the database is away\n", 503, {"Retry-After": "5"})
        except UnsafePathError as error:
            logger.warning("%s", error, extra={"action": "refuse"})
            return _none()
        if found is None:
            return _none()
        return FileResponse(
            found.path,
            media_type="application/octet-stream",
            headers={"ETag": f'"{found.sha256}"', "Cache-Control": "no-store"},
        )

    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/images/{image_id:int}", image, methods=["GET"]),
            Route("/livez", health, methods=["GET"]),
        ]
    )


def check_token(token: str) -> None:
    """Refuse a token that could be guessed.

    Raises
    ------
    ConfigurationError
    """
    if len(token) < LEAST_TOKEN_CHARACTERS:
        what = "is not set" if not token else f"has {len(token)} characters"
        raise ConfigurationError(
            f"the setting file_token {what}; put {LEAST_TOKEN_CHARACTERS} or more random ones into "
            "a file and name it in TIANYU_FILE_TOKEN_FILE, the same at every site: openssl rand "
            "-hex 32"
        )


def _is_invited(request: Request, token: str) -> bool:
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    # In constant time, so that answers do not tell how much of a guess is right.
    is_right = hmac.compare_digest(shown.strip().encode("latin-1"), token.encode("utf-8"))
    return is_right and scheme.lower() == "bearer"


def _none() -> Response:
    return PlainTextResponse("this site has no such image, or its file has changed\n", 404)
