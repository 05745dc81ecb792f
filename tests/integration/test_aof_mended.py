"""The end of an append-only file is lost: mended before Redis starts, nothing is lost that is written later."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local import mend_aof
from tests.servers import RedisServer

Make = Callable[..., RedisServer]
COMMIT = "redis.call('SET', KEYS[1], ARGV[1]); redis.call('XADD', KEYS[2], '*', 'n', ARGV[1])"


@pytest.fixture
def server(own_redis: Make) -> RedisServer:
    """Stopped, with three commits of a script and then a plain write in its file."""
    made = own_redis("--aof-load-truncated", "no", durable=True)
    commit(made, 1, 2, 3)
    with made.client() as client:
        client.set("plain", "value")
    made.stop()
    return made


def commit(server: RedisServer, *numbers: int) -> None:
    with server.client() as client:
        for number in numbers:
            client.eval(COMMIT, 2, f"k{number}", "stream", number)


def files(server: RedisServer) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (server.directory / "appendonlydir").iterdir()}


def incremental(server: RedisServer) -> Path:
    (path,) = (server.directory / "appendonlydir").glob("*.incr.aof")
    return path


def mend(server: RedisServer) -> subprocess.CompletedProcess[str]:
    """As launch.py does."""
    manifest = server.directory / "appendonlydir" / "appendonly.aof.manifest"
    command = [sys.executable, "-I", "-S", mend_aof.__file__, "redis-check-aof", str(manifest)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def cut_at(server: RedisServer, size: int) -> None:
    path = incremental(server)
    path.write_bytes(path.read_bytes()[:size])


def kept(server: RedisServer) -> tuple[set[str], int]:
    """The keys of the commits, and the length of the stream."""
    with server.client() as client:
        keys: list[str] = client.keys("k*")
        return set(keys), int(client.xlen("stream"))


@pytest.mark.feature("F20")
def test_what_is_written_after_a_cut_within_a_commit_is_there_after_the_next_start(server: RedisServer) -> None:
    whole = incremental(server).read_bytes()
    cut_at(server, whole.lower().rindex(b"xadd") + 2)
    torn = incremental(server).read_bytes()
    done = mend(server)
    assert done.returncode == 0
    lost = len(torn) - incremental(server).stat().st_size
    assert f"the last {lost} bytes are cut off" in done.stdout
    (copy,) = incremental(server).parent.glob("*.incr.aof.cut-*")
    assert copy.read_bytes() == torn
    server.start()
    assert kept(server) == ({"k1", "k2"}, 2), "the torn commit is gone as a whole"
    commit(server, 4, 5)
    server.stop()
    assert mend(server).stdout == ""
    server.start()
    assert kept(server) == ({"k1", "k2", "k4", "k5"}, 4)


def test_wherever_the_file_is_cut_it_is_mended_to_whole_commits(server: RedisServer) -> None:
    whole = incremental(server).read_bytes()
    ends = {end + 14 for end in range(len(whole)) if whole.startswith(b"*1\r\n$4\r\nEXEC\r\n", end)}
    ends |= {0, whole.index(b"*1\r\n"), len(whole)}  # before and after SELECT, and after the plain write
    for size in range(min(ends - {0}), len(whole), 5):
        incremental(server).write_bytes(whole[:size])
        assert mend(server).returncode == 0, f"cut at {size}"
        left = incremental(server).read_bytes()
        assert left == whole[: max(end for end in ends if end <= size)], f"cut at {size}"


def test_a_torn_plain_write_is_cut_off_alone(server: RedisServer) -> None:
    cut_at(server, incremental(server).stat().st_size - 3)
    assert "the last 32 bytes are cut off" in mend(server).stdout
    server.start()
    assert kept(server) == ({"k1", "k2", "k3"}, 3)
    with server.client() as client:
        assert client.get("plain") is None


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("what is no record", lambda data: data.replace(b"*1\r\n$5\r\nMULTI", b"*x\r\n$5\r\nMULTI", 2)),
        ("a wrong length", lambda data: data.replace(b"$2\r\nk2", b"$2000\r\nk2")),
        ("a transaction that was left open", lambda data: data.replace(b"*1\r\n$4\r\nEXEC\r\n", b"", 1)),
        ("what is no record", lambda data: data + bytes(100)),
    ],
)
def test_damage_elsewhere_is_left_alone_and_redis_is_not_to_be_started(
    server: RedisServer, what: str, spoil: Callable[[bytes], bytes]
) -> None:
    incremental(server).write_bytes(spoil(incremental(server).read_bytes()))
    before = files(server)
    done = mend(server)
    assert (done.returncode, files(server)) == (1, before)
    assert f"{incremental(server).name} has {what}" in done.stdout


def test_a_damaged_base_file_is_left_alone(server: RedisServer) -> None:
    (base,) = incremental(server).parent.glob("*.base.rdb")
    base.write_bytes(base.read_bytes()[:-9] + b"\x00" * 9)
    cut_at(server, incremental(server).stat().st_size - 3)
    before = files(server)
    assert (mend(server).returncode, files(server)) == (1, before)


def test_sound_files_are_not_touched(server: RedisServer) -> None:
    before = {path: path.stat().st_mtime_ns for path in incremental(server).parent.iterdir()}
    done = mend(server)
    assert (done.returncode, done.stdout) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in incremental(server).parent.iterdir()} == before


def test_the_manifest_that_redis_8_leaves_when_it_stops_is_understood(server: RedisServer) -> None:
    manifest = incremental(server).parent / "appendonly.aof.manifest"
    lines = [line.split(" startoffset")[0] for line in manifest.read_text().splitlines()]
    with_offsets = [f"{line} startoffset 0 endoffset 99" if line.endswith("type i") else line for line in lines]
    manifest.write_text("\n".join(with_offsets) + "\n")
    cut_at(server, incremental(server).stat().st_size - 3)
    done = mend(server)
    assert done.returncode == 0
    assert "are cut off" in done.stdout


def test_the_first_start_has_nothing_to_mend(tmp_path: Path) -> None:
    assert mend(RedisServer(tmp_path)).returncode == 0


def test_where_nothing_can_be_examined_redis_may_judge(server: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = incremental(server).parent / "appendonly.aof.manifest"
    assert mend_aof.main("no-such-program", str(manifest)) == 0
    assert "so Redis will judge" in capsys.readouterr().out
