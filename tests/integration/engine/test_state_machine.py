"""Thousands of random stories of a graph, each compared with the model after every step."""

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.engine.machine import EngineMachine
from tianyu.schema.database import Database


def test_the_engine_does_what_the_model_does(database: Database) -> None:
    class Machine(EngineMachine):
        pass

    Machine.database = database
    storm = settings.get_current_profile_name() == "storm"
    run_state_machine_as_test(
        Machine, settings=settings() if storm else settings(max_examples=100, stateful_step_count=40)
    )
