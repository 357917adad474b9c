"""A decoder that a file has taken over: each attack is tried in a process of its own.

`python -m tests.video.attacker FOLDER UID ROOM` prints what became of each attack, as JSON:
"succeeded", "refused" or the signal that ended it. ROOM: "open" has no sandbox, "decoder" and
"by-path" have those of readers.
"""

# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH208, PTH211, T201

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path

from vidattn.video.process.sandbox import ATTACKS as NUMBERS
from vidattn.video.process.sandbox import MACHINES, Sandbox
from vidattn.video.protocol import Limits

LIBC = ctypes.CDLL(None, use_errno=True)
MEMORY = 4 << 30
SECRET = b"a token of the user"
NETWORK = os.open("/proc/self/ns/net", os.O_RDONLY)


def call(function: Callable[..., int], *arguments: object) -> int:
    """A C function; raises OSError."""
    result = function(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def kernel(name: str, *arguments: int) -> int:
    """A system call by name."""
    number = NUMBERS[name][MACHINES[platform.machine()][1]]
    assert number is not None
    return call(LIBC.syscall, ctypes.c_long(number), *map(ctypes.c_long, arguments))


def fork(*, orphan: bool = False) -> None:
    if os.fork() == 0:
        if orphan:
            os.setsid()
        os._exit(0)


def clone(flags: int) -> None:
    """Without memory of its own: a fork."""
    if call(LIBC.syscall, ctypes.c_long(56 if X86 else 220), ctypes.c_long(flags), 0, 0, 0, 0) == 0:
        os._exit(0)


def spawn() -> None:
    os.posix_spawn("/bin/true", ["true"], {})


def code(machine: bytes) -> None:
    """Run machine code, which gives back the number of a process."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(machine)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    if ctypes.CFUNCTYPE(ctypes.c_int)(address)() <= 0:
        raise OSError("refused")


def write_shared(fd: int) -> None:
    page = mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    page[:1] = b"!"


def raise_limit(what: int, most: int = 1 << 40) -> None:
    try:
        resource.setrlimit(what, (most, most))
    except ValueError:
        raise PermissionError from None


def in_thread(act: Callable[[], object]) -> None:
    """In a thread that the attacker starts."""
    errors: list[OSError] = []

    def attempt() -> None:
        try:
            act()
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def read(path: str | Path) -> None:
    if not os.read(os.open(path, os.O_RDONLY), 100):
        raise PermissionError


def signal_by_descriptor(parent: int) -> None:
    """The owner of a pipe that becomes readable gets a signal of the attacker's choice."""
    reader, writer = PIPE
    fcntl.fcntl(reader, fcntl.F_SETOWN, parent)
    fcntl.fcntl(reader, 10, signal.SIGUSR1)  # F_SETSIG
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
    os.write(writer, b"!")


def look_into(parent: int, name: str) -> None:
    """Read or write the first page of the parent's own code."""
    buffer = ctypes.create_string_buffer(8)
    vectors = ctypes.create_string_buffer(
        struct.pack("@4Q", ctypes.addressof(buffer), 8, ctypes.addressof(SPARE), 8)
    )
    place = ctypes.addressof(vectors)
    kernel(name, parent, place, 1, place + 16, 1, 0)


X86 = platform.machine() == "x86_64"
SPARE = ctypes.create_string_buffer(8)
PIPE = os.pipe()


def attacks(folder: Path, parent: int, video: int) -> dict[str, Callable[[], object]]:
    """By name; video: a descriptor of a file of the user, open for reading."""
    mine, other = folder / "mine", folder / "other"
    return {
        "raise the memory limit": lambda: raise_limit(resource.RLIMIT_AS),
        "raise the file limit": lambda: raise_limit(resource.RLIMIT_FSIZE),
        "raise the descriptor limit": lambda: raise_limit(resource.RLIMIT_NOFILE, 512),
        "raise the CPU limit": lambda: raise_limit(resource.RLIMIT_CPU),
        "limit the parent": lambda: resource.prlimit(parent, resource.RLIMIT_CORE, (0, 0)),
        "write a file": lambda: os.open(mine, os.O_WRONLY),
        "append to a file": lambda: os.open(mine, os.O_RDWR | os.O_APPEND),
        "create a file": lambda: os.open(other, os.O_WRONLY | os.O_CREAT),
        "create a file without a name": lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR),
        "empty a file": lambda: os.truncate(mine, 0),
        "empty a file while opening it": lambda: os.open(mine, os.O_RDONLY | os.O_TRUNC),
        "empty the video": lambda: os.truncate(f"/proc/self/fd/{video}", 0),
        "open the video for writing": lambda: os.open(f"/proc/self/fd/{video}", os.O_RDWR),
        "map a file for writing": lambda: write_shared(os.open(mine, os.O_RDWR)),
        "change the mode of the video": lambda: os.fchmod(video, 0o777),
        "change the owner of the video": lambda: os.fchown(video, os.getuid(), os.getgid()),
        "change the times of the video": lambda: os.utime(video, (0, 0)),
        "lock the video": lambda: fcntl.flock(video, fcntl.LOCK_EX),
        "delete a file": lambda: os.unlink(mine),
        "rename a file": lambda: os.rename(mine, other),
        "link a file": lambda: os.link(mine, other),
        "make a symbolic link": lambda: os.symlink(mine, other),
        "make a folder": lambda: os.mkdir(other),
        "make a pipe": lambda: os.mkfifo(other),
        "change a mode": lambda: os.chmod(mine, 0o777),
        "write its own memory": lambda: os.open("/proc/self/mem", os.O_RDWR),
        "run a program": lambda: os.execv("/bin/true", ["true"]),
        "spawn a program": spawn,
        "fork": fork,
        "leave an orphan": lambda: fork(orphan=True),
        "clone": lambda: clone(signal.SIGCHLD),
        "clone with shared memory": lambda: clone(0x100 | 0x4000 | signal.SIGCHLD),
        "signal the parent": lambda: os.kill(parent, signal.SIGUSR1),
        "probe the parent": lambda: os.kill(parent, 0),
        "signal a thread of the parent": lambda: call(LIBC.tgkill, parent, parent, signal.SIGUSR1),
        "signal everybody": lambda: os.kill(-1, 0),
        "signal by a descriptor": lambda: signal_by_descriptor(parent),
        "hold the parent": lambda: kernel("pidfd_open", parent, 0),
        "outlive the parent": lambda: call(LIBC.prctl, 1, 0, 0, 0, 0),
        "trace the parent": lambda: kernel("ptrace", 0x4206, parent, 0, 0),
        "read the parent's memory": lambda: look_into(parent, "process_vm_readv"),
        "write the parent's memory": lambda: look_into(parent, "process_vm_writev"),
        "open the parent's memory": lambda: os.open(f"/proc/{parent}/mem", os.O_RDWR),
        "read the parent's environment": lambda: read(f"/proc/{parent}/environ"),
        "read its own environment": lambda: read("/proc/self/environ"),
        "read a file of the user": lambda: read(mine),
        "read it in a thread": lambda: in_thread(lambda: read(mine)),
        "write in a thread": lambda: in_thread(lambda: os.open(mine, os.O_RDWR)),
        "read the list of users": lambda: read("/etc/passwd"),
        "list a folder": lambda: os.listdir(folder),
        "open a socket": lambda: socket.socket(),
        "open a local socket": lambda: socket.socket(socket.AF_UNIX).connect(str(folder / "agent")),
        "open a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "enter the parent's network": lambda: kernel("setns", NETWORK, 0),
        "make a namespace": lambda: kernel("unshare", 0x10000000),
        "change the root": lambda: os.chroot(folder),
        "mount": lambda: call(LIBC.mount, b"none", bytes(folder), b"tmpfs", 0, None),
        "use io_uring": lambda: kernel("io_uring_setup", 1, ctypes.addressof(RING)),
        "load a BPF map": lambda: kernel("bpf", 0, ctypes.addressof(BPF), 48),
        "count events": lambda: kernel("perf_event_open", ctypes.addressof(PERF), 0, -1, -1),
        "handle page faults": lambda: kernel("userfaultfd", 1),
        "use the keyring": lambda: kernel("keyctl", 0, -3, 1),
        "make a file in memory": lambda: os.memfd_create("x"),
        "become another user": lambda: os.setuid(os.getuid()),
        **(MACHINE_CODE if X86 else {}),
    }


RING = ctypes.create_string_buffer(256)
BPF = ctypes.create_string_buffer(struct.pack("<4I", 2, 4, 8, 1), 128)
PERF = ctypes.create_string_buffer(struct.pack("<IIQ", 1, 112, 0), 112)
MACHINE_CODE: dict[str, Callable[[], object]] = {
    # getpid by the number of 32-bit programs, and by that of the x32 interface
    "call as a 32-bit program": lambda: code(bytes.fromhex("b814000000cd80c3")),
    "call as an x32 program": lambda: code(bytes.fromhex("b8270000400f05c3")),
}


def prepare(folder: Path, uid: int) -> None:
    """The folder of a user with two files and the socket of an agent."""
    for path in folder.iterdir():
        path.rmdir() if path.is_dir() else path.unlink()
    for name in ("mine", "video"):
        (folder / name).write_bytes(SECRET)
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(folder / "agent"))
    agent.listen()
    AGENTS[:] = [agent]
    for path in (folder, *folder.iterdir()):
        os.chown(path, uid, uid)


AGENTS: list[socket.socket] = []


def attempt(act: Callable[[], object], room: str, video: int, parent: int) -> str:
    """What becomes of an attack: "succeeded", "refused", "failed", or a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            if room != "open":
                Sandbox(parent, by_kernel=False).enter(
                    Limits(),
                    memory_bytes=MEMORY,
                    file_bytes=0,
                    path=video if room == "by-path" else None,
                )
            act()
            os._exit(0)
        except OSError:
            os._exit(1)
        finally:
            os._exit(2)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return ("succeeded", "refused", "failed")[os.WEXITSTATUS(status)]


def main(folder: Path, uid: int, room: str) -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    prepare(folder, uid)
    video = os.open(folder / "video", os.O_RDONLY)
    sysconfig.get_path("stdlib")  # loads what only root may read here
    if uid != os.getuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    results = {}
    for name, act in attacks(folder, os.getpid(), video).items():
        if room == "open" and name == "mount":
            continue  # would outlast it
        results[name] = attempt(act, room, video, os.getpid())
        if room == "open":
            prepare(folder, uid)
        assert sorted(os.listdir(folder)) == ["agent", "mine", "video"], name
        assert (folder / "mine").read_bytes() == (folder / "video").read_bytes() == SECRET, name
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
