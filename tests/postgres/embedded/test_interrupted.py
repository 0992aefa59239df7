"""Signals that come while the embedded server is being started: whenever they do, nothing is left running."""

import signal
import threading
from pathlib import Path

import pytest

from openmemory.postgres.embedded.folder import open_folder
from openmemory.postgres.embedded.interruptions import held_back
from openmemory.postgres.embedded.locks import FileLock
from tests.postgres.embedded.processes import PATIENCE_S, another_process

# One signal, at the first instruction after a call that matches.
PRESS = """
def press(frame, event, called):
    if {when}:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)
sys.setprofile(press)
"""
PROGRAM_STARTS = "event == 'c_return' and called.__name__ == 'fork_exec' and {option!r} in frame.f_locals['args']"
RETURNED = "event == 'return' and frame.f_code.co_name == {name!r} and 'embedded' in frame.f_code.co_filename"


def nobody_lives(data: Path) -> bool:
    folder = open_folder(data)
    with FileLock(folder.alive, folder.account) as alive:
        return alive.try_exclusive()


@pytest.mark.parametrize(
    "when",
    [
        pytest.param(PROGRAM_STARTS.format(option="-D"), id="while PostgreSQL is started"),
        *(
            pytest.param(RETURNED.format(name=name), id=f"after {name}")
            for name in ("_launch", "bring_up", "read_passwords", "start")
        ),
    ],
)
def test_ctrl_c_in_a_start_leaves_no_server(data: Path, when: str) -> None:
    with another_process(data, before=PRESS.format(when=when)) as process:
        process.communicate(timeout=PATIENCE_S)

    assert process.returncode != 0
    assert nobody_lives(data)


def test_ctrl_c_while_a_database_is_made_leaves_no_program(place: Path) -> None:
    when = PROGRAM_STARTS.format(option="--auth=scram-sha-256")
    with another_process(place / "data", before=PRESS.format(when=when)) as process:
        process.communicate(timeout=PATIENCE_S)

    assert process.returncode != 0
    assert nobody_lives(place / "data")


def test_a_signal_waits_until_what_it_might_break_is_done() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), held_back() as came:  # noqa: PT012 (where it is raised is the point)
        signal.raise_signal(signal.SIGINT)
        assert came == [signal.SIGINT]
        done = True

    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_thread_holds_nothing_back() -> None:
    seen: list[list[int]] = []

    def work() -> None:
        with held_back() as came:
            seen.append(came)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [[]]
