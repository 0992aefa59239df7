"""`serve` as a process: ready, shared, stopped and killed."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.cli.homes import PATIENCE_S, Home, a_home, a_port, call, interrupt
from tests.factories import a_tenant


@pytest.fixture(scope="module")
def own() -> Iterator[Home]:
    """Yield a data folder whose PostgreSQL only these servers start and stop."""
    with a_home() as home:
        yield home


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_and_its_postgresql(own: Home, kind: signal.Signals) -> None:
    port = a_port()
    with own.serving(port) as server:
        assert not own.is_stopped
        server.send_signal(kind)
        _, log = server.communicate(timeout=PATIENCE_S)

    assert server.returncode == 0, log
    assert own.is_stopped
    events = {entry["event"]: entry for entry in map(json.loads, log.splitlines())}
    assert events["server.started"]["data_folder"] == str(own.folder)
    assert events["server.started"]["url"] == f"http://127.0.0.1:{port}"
    assert "server.stopped" in events


def test_a_relative_folder_is_told_by_its_whole_path(own: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.folder.parent)
    port = a_port()
    with own.with_settings(OM_DATA_DIR=own.folder.name).serving(port) as server:
        server.terminate()
        _, log = server.communicate(timeout=PATIENCE_S)

    events = {entry["event"]: entry for entry in map(json.loads, log.splitlines())}
    assert events["server.started"]["data_folder"] == str(own.folder)


def test_what_was_answered_survives_a_kill(own: Home) -> None:
    tenant, port = a_tenant(), a_port()
    with own.serving(port) as server:
        call(port, "/memory/add", {"content": "The lamp of the lighthouse is brass"}, tenant)
        server.kill()
        server.communicate(timeout=PATIENCE_S)

    with own.serving(port) as server:
        found = call(port, "/memory/query", {"query": "brass lamp"}, tenant)
        server.terminate()
        server.communicate(timeout=PATIENCE_S)

    assert [match["content"] for match in found["matches"]] == ["The lamp of the lighthouse is brass"]
    assert own.is_stopped


def test_a_postgresql_that_is_killed_is_started_again(own: Home) -> None:
    tenant, port = a_tenant(), a_port()
    with own.serving(port) as server:
        call(port, "/memory/add", {"content": "The lamp of the lighthouse is brass"}, tenant)
        os.kill(own.postmaster, signal.SIGKILL)

        deadline, found = time.monotonic() + PATIENCE_S, None
        while found is None and time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                server.wait(0.05)
            with suppress(AssertionError):  # 503 while it is away, and once for each connection that died with it
                found = call(port, "/memory/query", {"query": "brass lamp"}, tenant)
        server.terminate()
        server.communicate(timeout=PATIENCE_S)

    assert found is not None
    assert [match["content"] for match in found["matches"]] == ["The lamp of the lighthouse is brass"]
    assert own.postmaster == 0


def test_two_servers_and_a_command_share_one_folder(own: Home) -> None:
    tenant, first_port, second_port = a_tenant(), a_port(), a_port()
    with own.serving(first_port) as first, own.serving(second_port) as second:
        call(first_port, "/memory/add", {"content": "The lamp is brass"}, tenant)
        first.terminate()
        first.communicate(timeout=PATIENCE_S)

        assert not own.is_stopped
        found = call(second_port, "/memory/query", {"query": "lamp"}, tenant)
        listed = own.spawn("list", "--tenant", tenant, "--json")
        second.terminate()
        second.communicate(timeout=PATIENCE_S)

    assert len(found["matches"]) == len(listed.json["items"]) == 1
    assert own.is_stopped


def test_a_busy_port_is_one_line_that_names_the_setting(own: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = own.spawn("serve", "--port", str(taken.getsockname()[1]))

    assert ran.status == 1
    assert "OM_PORT" in ran.err
    assert ran.err.count("\n") == 1
    assert own.is_stopped


def test_a_request_in_flight_is_finished_before_the_end(own: Home) -> None:
    body = json.dumps({"content": "The keeper plays the harp"}).encode()
    port = a_port()
    with own.serving(port) as server, socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(PATIENCE_S)
        head = f"POST /memory/add HTTP/1.1\r\nhost: 127.0.0.1\r\nx-tenant-id: {a_tenant()}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 100")  # it is being worked on, and waits for the body
        server.terminate()
        client.sendall(body)
        answer = client.recv(10_000)
        server.communicate(timeout=PATIENCE_S)

    assert answer.startswith(b"HTTP/1.1 200")
    assert server.returncode == 0
    assert own.is_stopped


def test_a_command_interrupted_at_its_question_stops_the_postgresql_it_started(own: Home) -> None:
    tenant = a_tenant()
    memory = own.spawn("add", "The keeper plays the harp", "--tenant", tenant, "--json").json["id"]
    assert own.is_stopped

    with own.started("delete", memory, "--tenant", tenant) as process:
        assert process.stderr is not None
        seen = b""
        while b"[y/N]" not in seen:
            more = process.stderr.read(1000)
            assert more, seen
            seen += more
        interrupt(process, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)

    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    assert own.is_stopped
    assert own.spawn("get", memory, "--tenant", tenant).status == 0
