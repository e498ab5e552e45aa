"""A step that does nothing, so that only the engine's own cost is left."""

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.products import Products
from tianyu.pipelines.step import StepParameters, step


class NoOp(StepParameters):
    """It takes none."""


@step("noop", parameters=NoOp, reads=(), writes=())
def do_nothing(parameters: NoOp, context: StepContext) -> Products:
    """Do nothing."""
    return Products()
