"""A step that leaves a row and a file named after its attempt, and one that fails at first."""

import hashlib
import os
import time

from pydantic import Field

from tianyu.pipelines.atomic import replacing
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import TransientError
from tianyu.pipelines.products import NewImage, Products
from tianyu.pipelines.step import StepParameters, step

KIND = "storm"

if os.environ.get("STORM_MUTANT"):
    # Children import this file and nothing else of the tests.
    from tests.storm.mutants import plant

    plant(os.environ["STORM_MUTANT"])


class Mark(StepParameters):
    """What to do besides."""

    seconds: float = Field(0.0, ge=0.0, description="how long to take")
    failures: int = Field(0, ge=0, description="attempts that fail before one succeeds")


def content_of(process_id: int, attempt: int) -> bytes:
    """Return what the file of an attempt holds."""
    return f"{process_id} {attempt}\n".encode() * 50


@step("mark", parameters=Mark, reads=(), writes=(KIND,))
def mark(parameters: Mark, context: StepContext) -> Products:
    """Leave a row and a file."""
    if context.attempt <= parameters.failures:
        raise TransientError("not this time")
    products = Products()
    content = content_of(context.process_id, context.attempt)
    file = context.product_file(f"{KIND}.txt")
    with replacing(file.absolute) as stream:
        # Time passes within, so that death finds a file half written.
        stream.write(content[: len(content) // 2])
        time.sleep(parameters.seconds)
        stream.write(content[len(content) // 2 :])
    products.image(
        NewImage(
            kind=KIND,
            name=file.absolute.name,
            path=file.relative,
            size_bytes=len(content),
            checksum=hashlib.sha256(content).hexdigest(),
            width=0,
            height=0,
            run_id=context.run_id,
            birth=context.process_id,
            site_id=context.site_id,
            header={"attempt": context.attempt},
        )
    )
    return products
