"""What a worker process may do: nearly nothing, so that a file that takes it over gains nothing.

Landlock (Linux 5.13 and later) says which files it may still open, whatever its user may; seccomp
which system calls it may make, as a list assembled here for x86-64 and 64-bit Arm. A call that is
not on the list fails as one that the kernel does not know, so that libraries take another way; a
call that only an attacker makes ends the process.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import stat
import struct
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from vidattn.errors import VideoError
from vidattn.video.protocol import LAYERS, Limits

MAX_FILES = 256
PARENT_DEATH_SIGNAL, NO_NEW_PRIVILEGES = 1, 38  # linux/prctl.h
CAPABILITY_VERSION, READ_ALL = 0x20080522, 1 << 2  # linux/capability.h; CAP_DAC_READ_SEARCH
LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache")


class Sandbox:
    """The limits of this process, which hold until it ends."""

    def __init__(self, parent: int, *, by_kernel: bool) -> None:
        """parent: the process dies with it. by_kernel: at once."""
        self._parent = parent
        self._layers: list[str] | None = None
        for what, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, MAX_FILES)):
            _limit(what, most)
        if sys.platform == "linux":
            libc = ctypes.CDLL(None)
            libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
            if by_kernel:
                libc.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)

    def enter(
        self,
        limits: Limits,
        *,
        memory_bytes: int | None,
        file_bytes: int | None,
        path: int | None = None,
    ) -> list[str]:
        """Give up every right that decoding does not need; returns the `LAYERS` that hold.

        To be called before the first byte of a file is looked at; the first call counts. No other
        process can be started, signaled or looked into, no network reached and no file changed.
        path: descriptor of a file that will be opened by path; without it, no file can be opened.
        Raises VideoError E_NO_SANDBOX if a layer is missing and the limits require all.
        """
        if self._layers is None:
            if sys.platform == "linux":
                _limit(resource.RLIMIT_AS, memory_bytes)
                _limit(resource.RLIMIT_FSIZE, file_bytes)
                _drop_capabilities()
            # A thread that ran before would keep its files.
            held = {"landlock": _has_one_thread() and restrict_files(_readable(path))}
            threading.Thread(target=_end_with, args=(self._parent,), daemon=True).start()
            held["seccomp"] = filter_system_calls(by_path=path is not None)
            self._layers = [name for name in LAYERS if held[name]]
        missing = [name for name in LAYERS if name not in self._layers]
        if missing and limits.sandbox == "require":
            raise VideoError(
                f"not decoded, since the sandbox has no {' and no '.join(missing)} here",
                code="E_NO_SANDBOX",
                hint="`vidattn doctor` shows what is missing; --sandbox auto makes do without",
            )
        return self._layers


def _limit(what: int, most: int | None) -> None:
    """Set a limit for good; the user's own may be lower. None: leave it."""
    if most is not None:
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _drop_capabilities() -> None:
    """Keep none of root's powers but reading; for other users there is nothing to drop."""
    libc, header = ctypes.CDLL(None), struct.pack("<Ii", CAPABILITY_VERSION, 0)
    sets = ctypes.create_string_buffer(24)
    if libc.capget(header, sets) == 0:
        permitted = struct.unpack_from("<I", sets.raw, 4)[0] & READ_ALL
        libc.capset(header, struct.pack("<6I", permitted, permitted, 0, 0, 0, 0))


def _has_one_thread() -> bool:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) == 1 if tasks.exists() else threading.active_count() == 1


def _readable(path: int | None) -> list[str | int]:
    """What a library that opens a file by path may read: that file, and code that it loads late."""
    if path is None:
        return []
    stdlib = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    packages = [folder for folder in sys.path if folder.endswith(("-packages", "lib-dynload"))]
    return [path, str(Path(__file__).parents[2]), *stdlib, *packages, *LIBRARIES]


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on all machines."""
EXECUTE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 2, 1 << 3  # linux/landlock.h
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Number of rights over files by version; later ones have no more."""
NETWORK_VERSION, SCOPE_VERSION = 4, 6
"""The first that know TCP, and signals and abstract sockets."""


def restrict_files(readable: Iterable[str | int]) -> bool:
    """Let this thread read only these folders and descriptors; False without Landlock.

    Holds for threads that it starts, for good. TCP, signals to others and looking into them are
    refused, too, where the kernel can. Needs "no new privileges".
    """
    version = landlock_version()
    if version < 1:
        return False
    rights = FILE_RIGHTS.get(version, max(FILE_RIGHTS.values()))
    attributes = struct.pack("<Q", (1 << rights) - 1)
    attributes += struct.pack("<Q", 3) if version >= NETWORK_VERSION else b""
    attributes += struct.pack("<Q", 3) if version >= SCOPE_VERSION else b""
    ruleset = _system_call(CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        for source in readable:
            _allow_reading(ruleset, source)
        return _system_call(RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def landlock_version() -> int:
    """The version of the kernel's Landlock; below 1 if it has none."""
    if sys.platform != "linux":
        return 0
    return _system_call(CREATE_RULESET, None, 0, 1)


def _allow_reading(ruleset: int, source: str | int) -> None:
    try:
        fd = os.open(source, os.O_PATH) if isinstance(source, str) else source
    except OSError:
        return  # not there, or out of reach anyway
    try:
        folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        rights = READ_FILE | (READ_FOLDER | EXECUTE if folder else 0)
        _system_call(ADD_RULE, ruleset, 1, ctypes.c_char_p(struct.pack("<Qi", rights, fd)), 0)
    finally:
        if isinstance(source, str):
            os.close(fd)


def _system_call(number: int, *arguments: object) -> int:
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(number), *wide))


MACHINES = {"x86_64": (0xC000003E, 0, 317), "aarch64": (0xC00000B7, 1, 277)}
"""By name: its number in linux/audit.h, its column in the tables, and the number of `seccomp`."""

Numbers = dict[str, tuple[int | None, ...]]


def _parse(text: str) -> Numbers:
    """System calls with their numbers on the machines, "-" for none."""
    rows = (row.split() for row in text.split(","))
    return {name: tuple(None if n == "-" else int(n) for n in rest) for name, *rest in rows}


ALLOWED = _parse("""
    read 0 63, write 1 64, pread64 17 67, pwrite64 18 68, readv 19 65, writev 20 66,
    preadv 295 69, pwritev 296 70, lseek 8 62, close 3 57, fstat 5 80, dup 32 23,
    fadvise64 221 223, mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233,
    brk 12 214, futex 202 98, set_robust_list 273 99, rseq 334 293, membarrier 324 283,
    getrandom 318 278, sched_yield 24 124, sched_getaffinity 204 123, sched_getparam 143 121,
    sched_getscheduler 145 120, sched_get_priority_max 146 125, sched_get_priority_min 147 126,
    getpid 39 172, gettid 186 178, getppid 110 173, getuid 102 174, geteuid 107 175,
    getgid 104 176, getegid 108 177, getrusage 98 165, getrlimit 97 163, sysinfo 99 179,
    uname 63 160, times 100 153, getcpu 309 168, exit 60 93, exit_group 231 94,
    rt_sigprocmask 14 135, rt_sigreturn 15 139, sigaltstack 131 132, restart_syscall 219 128,
    clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230 115, nanosleep 35 101,
    gettimeofday 96 169, time 201 -, poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72,
    recvmsg 47 212, recvfrom 45 207
""")
"""Memory, threads, clocks, open descriptors."""
PATHS = _parse("""
    stat 4 -, lstat 6 -, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439 439,
    readlink 89 -, readlinkat 267 78, getdents64 217 61, getcwd 79 17
""")
"""Looking at the file system; with reading, only for libraries that open files by path."""
ATTACKS = _parse("""
    fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, ptrace 101 117,
    process_vm_readv 310 270, process_vm_writev 311 271, kill 62 129, tkill 200 130,
    rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, pidfd_send_signal 424 424,
    pidfd_open 434 434, pidfd_getfd 438 438, unshare 272 97, setns 308 268, mount 165 40,
    umount2 166 39, pivot_root 155 41, chroot 161 51, open_tree 428 428, move_mount 429 429,
    fsopen 430 430, mount_setattr 442 442, bpf 321 280, io_uring_setup 425 425,
    io_uring_enter 426 426, io_uring_register 427 427, init_module 175 105, finit_module 313 273,
    delete_module 176 106, kexec_load 246 104, kexec_file_load 320 294, perf_event_open 298 241,
    userfaultfd 323 282, add_key 248 217, request_key 249 218, keyctl 250 219, reboot 169 142,
    swapon 167 224
""")
"""Other processes, namespaces, mounts, the kernel: no decoder has business there."""
JUDGED = _parse("""
    open 2 -, openat 257 56, newfstatat 262 79, clone 56 220, fcntl 72 25, ioctl 16 29,
    prctl 157 167, prlimit64 302 261, tgkill 234 131
""")
"""Allowed or refused by their arguments."""

LOAD, EQUAL, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x45, 0x54, 0x06  # linux/bpf_common.h
ALLOW, REFUSE, UNKNOWN, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
"""linux/seccomp.h: go on, EPERM, ENOSYS, the end of the process."""
X32 = 0x40000000
THREAD, DETACHED = 0x3D0F00, 0x400000
"""Flags of `clone` for a thread of this process (linux/sched.h), and one that musl adds."""
WRITING = 0o3 | 0o100 | 0o1000 | 0o20000000
"""Flags of `open` that create or change a file: modes, O_CREAT, O_TRUNC, O_TMPFILE."""
EMPTY_PATH = 0x1000
"""Flag of `newfstatat`: look at an open descriptor."""
FCNTLS = (0, 1, 2, 3, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC."""
IOCTLS = (0x5401, 0x5450, 0x5451)
"""TCGETS, FIONCLEX, FIOCLEX."""
NAMES = (15, 16)
"""PR_SET_NAME, PR_GET_NAME: of threads."""

Step = tuple[int, int, int, int]
"""Code, steps to skip if true and if false, operand."""


def filter_system_calls(*, by_path: bool) -> bool:
    """Keep all threads of this process to the list, for good; False where that cannot be.

    by_path: allow opening files to read them. Needs "no new privileges".
    """
    machine = MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None or sys.maxsize < 1 << 32:
        return False
    steps = assemble(platform.machine(), os.getpid(), by_path=by_path)
    code = b"".join(struct.pack("<HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(steps), ctypes.addressof(buffer))
    set_filter, all_threads = 1, 1
    return not _system_call(machine[2], set_filter, all_threads, ctypes.c_char_p(program))


def assemble(machine: str, pid: int, *, by_path: bool) -> list[Step]:
    """The program of the filter; pid: of the process that will run it."""
    audit, column, _ = MACHINES[machine]
    steps = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, audit), _end(KILL), (LOAD, 0, 0, 0)]
    steps += [(ANY_BIT, 0, 1, X32), _end(KILL)]

    def add(numbers: Numbers | str, *then: Step) -> None:
        chosen = [JUDGED[numbers]] if isinstance(numbers, str) else numbers.values()
        for number in (row[column] for row in chosen):
            if number is not None:
                steps.extend([(EQUAL, 0, len(then), number), *then])

    add(ALLOWED, _end(ALLOW))
    add("clone", *_masked(0, ~DETACHED & 0xFFFFFFFF, THREAD, KILL))
    add("fcntl", *_one_of(1, FCNTLS, REFUSE))
    add("ioctl", *_one_of(1, IOCTLS, REFUSE))
    add("prctl", *_one_of(0, NAMES, REFUSE))
    add("tgkill", *_one_of(0, (pid,), KILL))
    add("prlimit64", *_only_asks())
    add(PATHS, _end(ALLOW if by_path else REFUSE))
    if by_path:
        add("open", *_masked(1, WRITING, 0, REFUSE))
        add("openat", *_masked(2, WRITING, 0, REFUSE))
        add("newfstatat", _end(ALLOW))
    else:
        add("open", _end(REFUSE))
        add("openat", _end(REFUSE))
        add("newfstatat", *_masked(3, EMPTY_PATH, EMPTY_PATH, REFUSE))
    add(ATTACKS, _end(KILL))
    return [*steps, _end(UNKNOWN)]


def _end(action: int) -> Step:
    return RETURN, 0, 0, action


def _load(argument: int, *, high: bool = False) -> Step:
    return LOAD, 0, 0, 16 + 8 * argument + 4 * high


def _masked(argument: int, mask: int, value: int, otherwise: int) -> list[Step]:
    """Allow if the bits of `mask` in an argument are those of `value`."""
    test = [_load(argument), (AND, 0, 0, mask), (EQUAL, 0, 1, value)]
    return [*test, _end(ALLOW), _end(otherwise)]


def _one_of(argument: int, values: Iterable[int], otherwise: int) -> list[Step]:
    """Allow if an argument is one of `values`."""
    tests = [step for value in values for step in ((EQUAL, 0, 1, value), _end(ALLOW))]
    return [_load(argument), *tests, _end(otherwise)]


def _only_asks() -> list[Step]:
    """Allow `prlimit64` without a new limit."""
    new = 2
    low = [_load(new), (EQUAL, 1, 0, 0), _end(REFUSE)]
    high = [_load(new, high=True), (EQUAL, 1, 0, 0), _end(REFUSE)]
    return [*low, *high, _end(ALLOW)]
