"""Thousands of random stories of a graph, each compared with the model after every step."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from tests.integration.engine.machine import EngineMachine

from tianyu.schema.database import Database


@pytest.mark.timeout(0)  # a storm takes as long as it takes
def test_the_engine_does_what_the_model_does(database: Database) -> None:
    class Machine(EngineMachine):
        pass

    Machine.database = database
    is_storm = settings.get_current_profile_name() == "storm"
    short = settings(max_examples=40, stateful_step_count=40)
    run_state_machine_as_test(Machine, settings=settings() if is_storm else short)
