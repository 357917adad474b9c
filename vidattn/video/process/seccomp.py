"""A list of allowed system calls (Linux, seccomp), from which a process cannot free itself.

Assembled here for x86-64 and 64-bit Arm. A call that is not on the list fails as one that the
kernel does not know, so that libraries take another way; a call that only an attacker makes ends
the process.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable

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
    return not ctypes.CDLL(None).syscall(
        ctypes.c_long(machine[2]), set_filter, all_threads, ctypes.c_char_p(program)
    )


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
