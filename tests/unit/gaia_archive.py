"""A Gaia archive in this process: the TAP protocol, with a recorded answer in VOTable form."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

ROWS = (
    # source_id, ra, dec, pmra, pmdec, G, BP−RP, variability: three stars around HAT-P-32.
    (355993728746239104, 31.0427, 46.6878, -9.98, 3.19, 11.14, 0.68, "NOT_AVAILABLE"),
    (355993728746239105, 31.0430, 46.6893, 0.10, -0.20, 15.90, 1.10, "VARIABLE"),
    (355993728746239106, 31.1000, 46.7000, None, None, 13.20, None, "CONSTANT"),
)

FIELDS = (
    ("source_id", "long", None, "meta.id;meta.main"),
    ("ra", "double", "deg", "pos.eq.ra;meta.main"),
    ("dec", "double", "deg", "pos.eq.dec;meta.main"),
    ("pmra", "double", "mas.yr**-1", "pos.pm;pos.eq.ra"),
    ("pmdec", "double", "mas.yr**-1", "pos.pm;pos.eq.dec"),
    ("ref_epoch", "double", "yr", "meta.ref;time.epoch"),
    ("phot_g_mean_mag", "float", "mag", "phot.mag;em.opt"),
    ("bp_rp", "float", "mag", "phot.color;em.opt.B;em.opt.R"),
    ("phot_variable_flag", "char", None, "meta.code;src.var"),
)


def votable() -> bytes:
    """Return the answer as the archive writes it."""
    fields = "".join(
        f'<FIELD name="{name}" datatype="{kind}" ucd="{ucd}"'
        + (f' unit="{unit}"' if unit else "")
        + (' arraysize="*"' if kind == "char" else "")
        + "/>"
        for name, kind, unit, ucd in FIELDS
    )
    rows = "".join(
        "<TR>"
        + "".join(
            f"<TD>{'' if value is None else value}</TD>" for value in (*row[:5], 2016.0, *row[5:])
        )
        + "</TR>"
        for row in ROWS
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        '<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>'
        f"<TABLE>{fields}<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    ).encode()


class Archive(ThreadingHTTPServer):
    """What it was asked, and what it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.queries: list[str] = []
        self.answer = votable()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/tap"


class _Handler(BaseHTTPRequestHandler):
    server: Archive

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.queries.append(parse_qs(body)["QUERY"][0])
        self.send_response(303)
        self.send_header("Location", f"{self.server.url}/async/1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        body = b"COMPLETED" if self.path.endswith("/phase") else self.server.answer
        self.send_response(200)
        self.send_header("Content-Type", "application/x-votable+xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def archive() -> Iterator[Archive]:
    """Serve until the block ends."""
    server = Archive()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
