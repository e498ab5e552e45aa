"""A small Alpaca server with one camera: ASCOM's web interface, ImageBytes included.

By the *ASCOM Alpaca API Reference* and *Alpaca ImageBytes* of ascom-standards.org.
"""

import json
import struct
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import numpy as np

NOT_IMPLEMENTED, DRIVER_ERROR = 0x400, 0x500
INT32, UINT16 = 2, 8


class SimulatedDevice:
    """The camera behind the server; the test looks at it and breaks it."""

    def __init__(self, width=32, height=20):
        # Value = 100 y + x, so that an image on its side is seen.
        y, x = np.mgrid[0:height, 0:width]
        self.image = (100 * y + x).astype(np.int32)
        self.started = None
        self.duration = 0.0
        self.lights = []
        self.n_aborted = 0
        self.error_when_ready = None
        self.knows_image_bytes = True

    def get(self, name):
        """Return the value of a property; raises KeyError for one that is not implemented."""
        height, width = self.image.shape
        if name == "imageready":
            if self.error_when_ready is not None:
                raise RuntimeError(self.error_when_ready)
            return self.started is not None and time.monotonic() >= self.started + self.duration
        return {
            "connected": True,
            "interfaceversion": 3,
            "name": "Test camera",
            "sensorname": "IMX-T",
            "ccdtemperature": -10.5,
            "electronsperadu": 0.8,
            "gain": 120,
            "offset": 30,
            "maxadu": 65535,
            "binx": 1,
            "biny": 1,
            "pixelsizex": 3.8,
            "pixelsizey": 3.8,
            "numx": width,
            "numy": height,
            "lastexposurestarttime": "2025-03-17T02:50:00.250",
            "lastexposureduration": self.duration,
            "imagearray": self.image.T.tolist(),
        }[name]

    def image_bytes(self):
        """Return the image as ImageBytes: a header of 44 bytes, then x on the first axis."""
        height, width = self.image.shape
        head = struct.pack("<11i", 1, 0, 0, 0, 44, INT32, UINT16, 2, width, height, 0)
        return head + np.ascontiguousarray(self.image.T, dtype="<u2").tobytes()


class Handler(BaseHTTPRequestHandler):
    """Answers for the device of its server."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        """Say nothing."""

    def answer(self, value=None, error=0, message=""):
        """Send a value, or an error, as every method of the interface does."""
        body = json.dumps({
            "Type": 2, "Rank": 2, "Value": value, "ClientTransactionID": 0,
            "ServerTransactionID": 0, "ErrorNumber": error, "ErrorMessage": message,
        }).encode()  # fmt: skip
        self.send(body, "application/json")

    def send(self, body, kind):
        """Send some bytes."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        """Answer with a property, or the image."""
        device, name = self.server.device, self.name()
        if name == "imagearray" and device.knows_image_bytes:
            assert "application/imagebytes" in self.headers["Accept"]
            return self.send(device.image_bytes(), "application/imagebytes")
        try:
            return self.answer(device.get(name))
        except KeyError:
            return self.answer(error=NOT_IMPLEMENTED, message=f"{name} is not implemented")
        except RuntimeError as error:
            return self.answer(error=DRIVER_ERROR, message=str(error))

    def do_PUT(self):
        """Do what is asked."""
        device, name = self.server.device, self.name()
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        if name == "startexposure":
            device.duration = float(form["Duration"][0])
            device.lights.append(form["Light"][0].lower() == "true")
            device.started = time.monotonic()
        elif name == "abortexposure":
            device.n_aborted += 1
            device.started = None
        return self.answer()

    def name(self):
        """Return the property or method that is asked for."""
        return urlparse(self.path).path.rsplit("/", 1)[1].lower()


@contextmanager
def alpaca_server(device):
    """Run a server of the device; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.device = device
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
