"""What an opened site answers to those who come without TLS, without trust or without the token."""

import http.client
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pymysql
from sqlalchemy.engine import make_url
from tests.compose.node import Node
from tests.compose.stack import Stack


def check_doors(centre: Stack, observatory: Node) -> None:
    """Print what each door answers.

    Raises
    ------
    AssertionError
        If one of them lets somebody in who should not be, or keeps us out.
    """
    ca = observatory.secrets / "ca.pem"
    broker, files = centre.rabbitmq_port, observatory.files_port

    def in_clear() -> str:
        return _amqp(centre.address, broker)

    def untrusting() -> str:
        return _handshake(centre.address, broker, None)

    def elsewhere() -> str:
        return _handshake(observatory.address, files, ca, named="elsewhere")

    untrusted, closed = ssl.SSLCertVerificationError, http.client.RemoteDisconnected
    answers = {
        "MySQL, plain": _refused(lambda: _mysql(centre, observatory, None), pymysql.MySQLError),
        "MySQL": _mysql(centre, observatory, ca),
        "RabbitMQ, plain": _refused(in_clear, ConnectionError),
        "RabbitMQ, by the system's authorities": _refused(untrusting, untrusted),
        "RabbitMQ": _handshake(centre.address, broker, ca),
        "file service, plain": _refused(lambda: _get(observatory, None), closed),
        "file service, under another name": _refused(elsewhere, untrusted),
        "file service, without the token": _refused(lambda: _get(observatory, ca), PermissionError),
        "file service": _handshake(observatory.address, files, ca),
    }
    for door, answer in answers.items():
        print(f"          {door}: {answer}")


def _refused(attempt: Callable[[], str], expected: type[Exception]) -> str:
    try:
        answer = attempt()
    except expected as error:
        return f"refused, {' '.join(str(error).split())}"
    raise AssertionError(f"this should have been refused: {answer}")


def _mysql(centre: Stack, observatory: Node, ca: Path | None) -> str:
    url = make_url((observatory.secrets / "database_url").read_text())
    connection = pymysql.connect(
        host=url.host,
        port=url.port or 0,
        user=url.username,
        password=str(url.password),
        database=url.database,
        ssl_ca=None if ca is None else str(ca),
        ssl_disabled=ca is None,
    )
    assert url.host == centre.address
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT CURRENT_USER(), VARIABLE_VALUE FROM performance_schema.session_status "
            "WHERE VARIABLE_NAME = 'Ssl_cipher'"
        )
        return " with ".join(cursor.fetchone() or ())


def _amqp(address: str, port: int) -> str:
    with socket.create_connection((address, port), timeout=10) as plain:
        plain.sendall(b"AMQP\x00\x00\x09\x01")
        answer = plain.recv(8)
    # An alert of TLS, or the end; a broker that speaks plainly would send its Connection.Start.
    if not answer or answer[0] == 0x15:
        raise ConnectionError("it speaks TLS alone")
    return repr(answer)


def _handshake(address: str, port: int, ca: Path | None, named: str | None = None) -> str:
    context = ssl.create_default_context(cafile=ca)
    with (
        socket.create_connection((address, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=named or address) as secret,
    ):
        return f"{secret.version()}, {(secret.cipher() or ('?',))[0]}"


def _get(observatory: Node, ca: Path | None) -> str:
    host, port = observatory.address, observatory.files_port
    connection: http.client.HTTPConnection = (
        http.client.HTTPConnection(host, port, timeout=10)
        if ca is None
        else http.client.HTTPSConnection(
            host, port, timeout=10, context=ssl.create_default_context(cafile=ca)
        )
    )
    connection.request("GET", "/images/1")
    status = connection.getresponse().status
    if status == http.client.UNAUTHORIZED:
        raise PermissionError(f"status {status}")
    return f"status {status}"
