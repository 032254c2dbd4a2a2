"""The same suite on two simulated nodes of Ray: the same tables, also when one of them dies or freezes in mid-run."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bench.commands.executor import Where, memory_bytes, plugin_files
from bench.errors import ExecutorError
from bench.executors.child import Status
from bench.executors.driver import Driver, Incident, Outcome
from tests.cohorts import EVALUATED, cohorts, suite_text
from tests.inline import files

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed: make test installs it")
from bench.executors.ray import RayExecutor, Share, _knock  # noqa: E402

ROOT = Path(__file__).parents[2]
NODE = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
SUITE = suite_text(
    "nodes", "Are the tables the same?", 2, {"steps": 300, "width": 8},
    depth=[2, 3], activation=["tanh", "relu"], clipping=["none", "value"],
)  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One for all tests: a node of two CPUs on this machine, which finds tests.executors.targets; a test adds more."""
    from ray.cluster_utils import Cluster

    checks = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_timeout_ms": 1000}
    settings = {"_system_config": checks | {"health_check_failure_threshold": 2}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        cluster = Cluster(initialize_head=True, head_node_args=NODE | settings | {"num_cpus": 2})
        try:
            yield cluster
        finally:
            cluster.shutdown()


def second_node(cluster: Any) -> Any:
    """A further node of one CPU, in this environment."""
    node = cluster.add_node(num_cpus=1, object_store_memory=NODE["object_store_memory"])
    cluster.wait_for_nodes()
    return node


def signal_node(node: Any, number: signal.Signals) -> None:
    """Send a signal to a node's raylet and to the workers that it started."""
    raylet = node.all_processes["raylet"][0].process.pid
    children = Path(f"/proc/{raylet}/task/{raylet}/children").read_text(encoding="ascii").split()
    for process in (*map(int, children), raylet):
        with suppress(ProcessLookupError):
            os.kill(process, number)


def bench(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench", "run", *map(str, arguments), "--no-report", "--json-progress"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(ExecutorError, match=r"127\.0\.0\.1:1: nothing listens there"):
        RayExecutor("127.0.0.1:1")
    with pytest.raises(ExecutorError, match="--address auto: no Ray cluster answers there"):
        RayExecutor("auto")
    with pytest.raises(ExecutorError, match="Ray Client is not supported"):
        RayExecutor("ray://head:10001")


def test_a_head_that_refuses_once_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    refused: list[object] = []

    def refuse_once(*arguments: Any) -> socket.socket:
        if not refused:
            refused.append(arguments)
            raise ConnectionRefusedError
        return connect(*arguments)

    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", refuse_once)
    with listening:
        _knock(address, patience=5.0)
        assert refused
        refused.clear()
        with pytest.raises(ExecutorError, match="nothing listens there"):
            _knock(address)


def test_that_no_node_has_room_is_said(cluster: Any) -> None:
    with pytest.raises(ExecutorError, match=r"No node has 1 CPUs and 64 GPUs for a cohort: the largest has 2 CPUs"):
        RayExecutor(cluster.address, Share(gpus=64.0))


@pytest.mark.full
def test_a_cluster_is_started_here_where_none_is_named() -> None:
    with RayExecutor(workers=1) as executor:
        assert executor.submit("tests.executors.targets:threads", 0, 60.0).result().status is Status.OK


def test_each_fault_of_a_cohort_is_told_apart_as_on_one_machine(cluster: Any) -> None:
    statuses = {"die": "killed", "segfault": "crashed", "leave": "crashed", "fail": "error", "refuse": "refused"}
    with RayExecutor(cluster.address, Share(cpus=2.0, memory=10**8), workers=1) as executor:
        told = {name: executor.submit(f"tests.executors.targets:{name}", 0, 60.0) for name in (*statuses, "threads")}
        late = executor.submit("tests.executors.targets:sleep", 60.0, 0.5)
        assert {name: told[name].result().status.value for name in statuses} == statuses
        assert "last words" in told["die"].result().value
        assert told["threads"].result().value == "2"
        assert late.result().status is Status.TIMEOUT


@pytest.mark.full
def test_a_node_that_dies_in_mid_run_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    suite = tmp_path / "nodes.toml"
    suite.write_text(SUITE, encoding="utf-8")
    second = second_node(cluster)
    running = bench(suite, "--out", tmp_path / "ray", "--executor", "ray", "--address", cluster.address)
    assert running.stdout
    lines = []
    for line in running.stdout:
        lines.append(json.loads(line))  # Ray itself may print nothing here
        if sum(line["event"] == "cohort" for line in lines) == 1 and second is not None:
            time.sleep(0.7)  # until both nodes are well into their next cohorts
            signal_node(second, signal.SIGKILL)
            second = None
    assert running.wait() == 0, running.stderr and running.stderr.read()
    assert lines[0]["workers"] == 3
    assert (lines[-1]["done"], lines[-1]["failed"]) == (16, 0)
    lost = [line for line in lines if line["event"] == "incident"]
    assert {line["status"] for line in lost} == {"lost"}
    assert {line["measure"] for line in lost} == {"tried again"}

    local = bench(suite, "--out", tmp_path / "local")
    local.communicate()
    assert local.returncode == 0
    assert files(tmp_path / "local") == files(tmp_path / "ray")


@pytest.mark.full
def test_a_node_that_freezes_is_given_up(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = cohorts("depth = [2, 3, 4, 5, 6, 7]", "steps = 5\nwidth = 4", record=EVALUATED)
    with monkeypatch.context() as patch:
        patch.setenv("FREEZE_NODE", str(tmp_path / "frozen"))
        second = second_node(cluster)
    with RayExecutor(cluster.address) as executor:
        assert executor.slots == 3
        events = list(Driver(executor, "tests.executors.targets:freeze_node_once", timeout=60.0).events(planned))
    signal_node(second, signal.SIGKILL)
    outcomes = [event for event in events if isinstance(event, Outcome)]
    assert {outcome.answer.status for outcome in outcomes} == {Status.OK}
    assert sorted(outcome.cohort.key for outcome in outcomes) == sorted(cohort.key for cohort in planned)
    lost = [event for event in events if isinstance(event, Incident)]
    assert [(incident.answer.status, incident.measure) for incident in lost] == [(Status.LOST, "tried again")]


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (Where("rey"), '--executor "rey" is not known. Did you mean "ray"?'),
        (Where(address="auto"), "--address is for --executor ray"),
        (Where("ray", memory="2 GX"), '--memory "2 GX" is not a size such as 2GB'),
    ],
)
def test_a_mistake_on_the_command_line_is_named(where: Where, says: str) -> None:
    with pytest.raises(ExecutorError, match=re.escape(says)):
        where.check()


def test_that_ray_is_not_installed_is_said(tmp_path: Path) -> None:
    suite = tmp_path / "nodes.toml"
    suite.write_text(SUITE, encoding="utf-8")
    without = "import sys; sys.modules['ray'] = None; from bench.cli import main; main()"
    command = [sys.executable, "-c", without, "run", str(suite), "--executor", "ray", "--out", str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: --executor ray needs Ray: pip install 'gradtrial[ray]'.")


def test_sizes_are_read() -> None:
    assert [memory_bytes(text) for text in ("2GB", "1.5 GiB", "800mib")] == [2 * 10**9, 3 * 2**29, 800 * 2**20]


def test_the_code_of_plugins_travels_and_not_of_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("def act(x): return x\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    planned = cohorts('activation = ["mine:act", "keras.activations:relu", "tanh"]', "steps = 1\nwidth = 2")
    assert plugin_files(planned) == [tmp_path / "mine.py"]
