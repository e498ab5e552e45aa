"""How many consumers there should be, and that none is ever killed."""

import itertools
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.manager.scaling.crew import Member
from tianyu.manager.scaling.decision import Policy, Sample, decide, forget_old
from tianyu.manager.scaling.dockercrew import NUMBER, PROJECT, SERVICE, DockerCrew
from tianyu.manager.scaling.load import load_of
from tianyu.manager.scaling.processcrew import ProcessCrew
from tianyu.manager.scaling.scaler import Scaler
from tianyu.schema.directory import ensure_queue
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.states import State
from tianyu.schema.tables import Process
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, insert_graph, insert_run

POLICIES = st.builds(
    lambda least, more, each, rise, calm: Policy(least, max(1, least + more), each, rise, calm),
    st.integers(0, 5), st.integers(0, 10), st.integers(1, 20),
    st.floats(0, 30), st.floats(0, 300),
)  # fmt: skip
LOADS = st.lists(st.integers(0, 1000), min_size=1, max_size=60)


def follow(policy, loads, current, step_s=1.0):
    """Yield the number of consumers after each look, each of them obeyed at once."""
    samples = []
    for look, load in enumerate(loads):
        samples = forget_old(policy, [*samples, Sample(look * step_s, load)])
        current = decide(policy, samples, current)
        yield current


@given(policy=POLICIES, loads=LOADS, current=st.integers(0, 50))
def test_there_are_never_fewer_than_the_least_nor_more_than_the_most(policy, loads, current):
    assert all(policy.least <= n <= policy.most for n in follow(policy, loads, current))


@given(policy=POLICIES, load=st.integers(0, 1000), current=st.integers(0, 50))
def test_a_steady_load_is_followed_in_the_end_and_then_nothing_changes(policy, load, current):
    looks = int(policy.rise_s + policy.calm_s) + 3
    numbers = list(follow(policy, [load] * (looks + 50), current))
    assert set(numbers[looks:]) == {policy.wanted(load)}


@given(
    policy=POLICIES, base=st.integers(0, 500),
    noise=st.lists(st.integers(-400, 400), min_size=30, max_size=120),
)  # fmt: skip
def test_noise_shorter_than_the_windows_does_not_make_numbers_flap(policy, base, noise):
    """With a quiet look in each rise window and a busy one in each calm window: no change."""
    loads = [max(0, base + n) if i % 2 else base for i, n in enumerate(noise)]
    steady = policy.wanted(base)
    patient = Policy(policy.least, policy.most, policy.load_each, policy.rise_s + 2, 400.0)
    numbers = list(follow(patient, loads, steady))
    assert set(numbers) == {steady}


@given(policy=POLICIES, loads=LOADS, current=st.integers(0, 15))
def test_a_consumer_that_was_started_stays_for_the_calm_time(policy, loads, current):
    numbers = list(follow(policy, loads, current))
    rises = [i for i, (a, b) in enumerate(itertools.pairwise(numbers)) if b > a]
    falls = [i for i, (a, b) in enumerate(itertools.pairwise(numbers)) if b < a]
    assert all(fall - rise >= policy.calm_s for fall in falls for rise in rises if rise < fall)


@given(policy=POLICIES, loads=LOADS, current=st.integers(0, 15))
def test_what_is_forgotten_changes_no_decision(policy, loads, current):
    whole = [Sample(float(look), load) for look, load in enumerate(loads)]
    kept = []
    for sample in whole:
        kept = forget_old(policy, [*kept, sample])
    assert decide(policy, kept, current) == decide(policy, whole, current)


def test_one_look_is_not_enough_to_send_anybody_home():
    assert decide(Policy(1, 8), [Sample(1000.0, 0)], 8) == 8


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((3, 2), "from 3 to 2 consumers is impossible"),
        ((0, 0), "from 0 to 0 consumers is impossible"),
        ((1, 2, 0), "0 processes for each consumer"),
        ((1, 2, 1, -1.0), "within -1 s"),
    ],
)
def test_impossible_policies_are_refused(values, text):
    with pytest.raises(ConfigurationError, match=text):
        Policy(*values)


# -- the load ------------------------------------------------------------------------------------


def test_the_load_is_what_can_be_done_and_what_is_being_done(installation):
    def work(connection):
        queue_id = ensure_queue(connection, installation.site_id, "cpu")
        other = ensure_queue(connection, installation.site_id, "gpu")
        spec = RunSpec("k", "r", 1, {}, "v", [])
        run_id = insert_run(connection, spec)
        specs = [
            ProcessSpec(10**18 + i, "noop", {}, other if i == 9 else queue_id, ())
            for i in range(10)
        ]
        insert_graph(connection, run_id, specs)
        for i, state in enumerate(State):
            here = Process.id == 10**18 + i
            connection.execute(Process.__table__.update().where(here).values(state=state.value))
        late = Process.id == 10**18 + 8
        connection.execute(
            Process.__table__.update().where(late).values(
                state=State.READY.value, not_before=2**60
            )
        )  # fmt: skip
        return queue_id

    queue_id = installation.database.retry(work)
    with installation.database.read() as connection:
        assert load_of(connection, queue_id, 100) == 3, "ready, queued, running"
        assert load_of(connection, queue_id, 2) == 2


# -- crews ---------------------------------------------------------------------------------------


class FakeChild:
    """A process that notes the signals it gets."""

    def __init__(self, pid):
        self.pid, self.signals, self.code = pid, [], None

    def poll(self):
        return self.code

    def send_signal(self, number):
        self.signals.append(number)

    def wait(self):
        self.code = 0


@pytest.fixture
def children():
    return []


@pytest.fixture
def crew(children):
    def launch(_command):
        children.append(FakeChild(len(children) + 1))
        return children[-1]

    return ProcessCrew(["tianyu", "consumer"], launch)


def test_processes_are_asked_once_to_finish_and_never_killed(crew, children):
    assert crew.start(3) == ["1", "2", "3"]
    crew.drain(["2", "3"])
    crew.drain(["2", "3"])
    assert [child.signals for child in children] == [[], [signal.SIGTERM], [signal.SIGTERM]]
    assert crew.members() == [Member("1"), Member("2", True), Member("3", True)]
    children[1].code = 0
    assert crew.members() == [Member("1"), Member("3", True)]
    crew.close()
    assert children[0].signals == [signal.SIGTERM]


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        return self.now


def test_a_burst_is_followed_up_and_down(installation, crew, children):
    """Worked by hand: 20 processes at 2 each make 8 of 8 after 2 s, and 1 after 10 s of calm."""
    queue_id = installation.database.retry(lambda c: ensure_queue(c, installation.site_id, "cpu"))
    clock = Clock()
    policy = Policy(1, 8, load_each=2, rise_s=2.0, calm_s=10.0)
    scaler = Scaler(installation.database, queue_id, crew, policy, "local", "cpu", clock=clock)

    def at(now):
        clock.now = now
        scaler.turn()
        return sum(not member.is_draining for member in crew.members())

    assert at(0.0) == 1

    def publish(connection):
        run_id = insert_run(connection, RunSpec("k", "r", 1, {}, "v", []))
        specs = [ProcessSpec(10**18 + i, "noop", {}, queue_id, ()) for i in range(20)]
        insert_graph(connection, run_id, specs)

    installation.database.retry(publish)
    assert [at(1.0), at(3.5), at(5.0)] == [1, 8, 8]
    with installation.database.write() as connection:
        connection.execute(Process.__table__.update().values(state=State.SUCCEEDED.value))
    assert [at(6.0), at(14.0), at(15.5), at(16.5)] == [8, 8, 1, 1]
    assert [child.signals for child in children] == [[], *[[signal.SIGTERM]] * 7]
    assert [(d.before, d.after) for d in scaler.decisions] == [(0, 1), (1, 8), (8, 1)]
    # Those that drain do not count: a new burst gets new ones beside them.
    with installation.database.write() as connection:
        connection.execute(Process.__table__.update().values(state=State.READY.value))
    assert [at(17.0), at(19.5)] == [1, 8]
    assert len(crew.members()) == 15


def test_an_engine_that_is_away_is_waited_for(installation, crew, children, caplog):
    queue_id = installation.database.retry(lambda c: ensure_queue(c, installation.site_id, "cpu"))
    scaler = Scaler(installation.database, queue_id, crew, Policy(1, 2), "local", "cpu")
    launch = crew.launch

    def refuse(_command):
        raise BlockingIOError("no room for another process")

    crew.launch = refuse
    assert scaler.turn() is None
    assert "cannot be started or drained now: no room" in caplog.text
    crew.launch = launch
    assert scaler.turn().after == 1


def test_a_consumer_that_dies_is_replaced_unless_they_all_die_young(children):
    def launch(_command):
        children.append(FakeChild(len(children) + 1))
        return children[-1]

    clock = Clock()
    crew = ProcessCrew(["tianyu", "consumer"], launch, clock)
    crew.start(1)
    clock.now = 100.0
    children[0].code = -9
    assert crew.members() == []
    assert crew.start(1) == ["2"], "after a while of work the next comes at once"
    for pause_s in (2.0, 4.0, 8.0):
        clock.now += 1.0
        children[-1].code = 2
        assert crew.members() == []
        assert crew.start(1) == [], "wrong settings do not get better by themselves"
        clock.now += pause_s
        assert len(crew.start(1)) == 1


# -- containers ----------------------------------------------------------------------------------


class FakeContainer:
    def __init__(self, engine, name, labels, created):
        self.engine, self.name, self.labels = engine, name, labels
        self.id, self.status, self.attrs = name, "running", {"Created": created}
        self.calls = []

    def update(self, **values):
        self.calls.append(("update", values))

    def rename(self, name):
        self.calls.append(("rename", name))
        self.name = name

    def kill(self, signal):
        self.calls.append(("kill", signal))

    def remove(self):
        self.engine.known.remove(self)


class FakeEngine:
    """As much of a Docker engine as a crew needs; it answers like one."""

    def __init__(self, n_containers=1, project="survey"):
        self.known, self.configs = [], []
        self.containers = self.api = self
        for number in range(1, n_containers + 1):
            self._add(f"{project}-consumer-cpu-{number}", project, number)

    def _add(self, name, project, number):
        labels = {PROJECT: project, SERVICE: "consumer-cpu", NUMBER: str(number)}
        self.known.append(FakeContainer(self, name, labels, f"2026-01-01T00:00:{len(self.known)}"))

    def list(self, *, all, filters):  # noqa: A002, ARG002 - Docker's names
        wanted = dict(label.split("=", 1) for label in filters["label"])
        wanted.pop("com.docker.compose.oneoff")
        return [c for c in self.known if wanted.items() <= c.labels.items()]

    def inspect_container(self, _name):
        return {
            "Name": "/first",
            "Config": {"Hostname": "0123456789ab", "Image": "tianyu", "Labels": {PROJECT: "survey"},
                       "StopTimeout": 600},
            "HostConfig": {"ReadonlyRootfs": True, "RestartPolicy": {"Name": "unless-stopped"}},
            "NetworkSettings": {
                "Networks": {"front": {"Aliases": ["consumer-cpu", "0123456789ab", "first"]}}
            },
        }  # fmt: skip

    def create_container_from_config(self, config, name):
        self.configs.append(config)
        self._add(name, "survey", int(config["Labels"][NUMBER]))
        return {"Id": name}

    def start(self, _name):
        """Do nothing: it runs from the beginning."""

    def close(self):
        """Do nothing."""


def test_containers_are_cloned_with_all_their_limits():
    engine = FakeEngine(2)
    crew = DockerCrew("consumer-cpu", client=engine)
    assert crew.start(2) == ["survey-consumer-cpu-3", "survey-consumer-cpu-4"]
    config = engine.configs[0]
    assert config["HostConfig"]["ReadonlyRootfs"] is True
    assert config["StopTimeout"] == 600
    assert config["NetworkingConfig"]["EndpointsConfig"] == {"front": {"Aliases": ["consumer-cpu"]}}
    assert len(crew.members()) == 4


def test_containers_are_asked_to_finish_not_started_again_and_removed_when_they_have():
    engine = FakeEngine(3)
    crew = DockerCrew("consumer-cpu", client=engine)
    crew.drain(["survey-consumer-cpu-3"])
    drained = engine.known[2]
    assert drained.calls == [
        ("update", {"restart_policy": {"Name": "no"}}),
        ("rename", "survey-consumer-cpu-3-draining"),
        ("kill", "SIGTERM"),
    ]
    assert [member.is_draining for member in crew.members()] == [False, False, True]
    # Another program that scales sees it, too.
    assert DockerCrew("consumer-cpu", "survey", engine).members()[2].is_draining
    drained.status = "exited"
    assert len(crew.members()) == 2
    assert drained not in engine.known


def test_a_service_that_is_not_there_or_there_twice_is_told():
    with pytest.raises(ConfigurationError, match="0 compose projects have a service 'consumer-c"):
        DockerCrew("consumer-cpu", client=FakeEngine(0))
    with pytest.raises(ConfigurationError, match="project 'x' has no container of service"):
        DockerCrew("consumer-cpu", "x", FakeEngine(1))
    twice = FakeEngine(1)
    twice._add("other-consumer-cpu-1", "other", 1)
    with pytest.raises(ConfigurationError, match=r"2 compose projects .*other, survey.*--project"):
        DockerCrew("consumer-cpu", client=twice)
