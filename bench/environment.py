"""What a result depends on beside its suite: versions and the machine. Read once, without importing TensorFlow."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path

PACKAGES = ("gradtrial", "tensorflow", "keras", "numpy", "pandas", "pyarrow", "scikit-learn", "seaborn")
DECIDING = ("tensorflow", "keras", "numpy", "python")  # results of other versions of these are never mixed
# A number's last digits depend on these too: in which order a kernel adds. Such results are mixed, and that is said.
ARITHMETIC = ("processor", "vector_extensions", "onednn", "threads_per_worker")
# From the widest on, as /proc/cpuinfo spells them.
VECTORS = ("avx512f", "avx2", "avx", "sse4_2", "sve2", "sve", "asimd")
MEMORY = Path("/proc/meminfo")
MEMORY_LIMITS = tuple(Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory/memory.limit_in_bytes"))
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
PROCESSORS = Path("/proc/stat")  # ticks of all processors since the start: user, nice, system, idle, iowait, ...
# With one of these TensorFlow turns oneDNN on under Linux, unless ONEDNN is set (its util/port.cc).
NEURAL = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine(threads: int = 1) -> dict[str, str | int | float]:
    """The machine in words and numbers: memory in GiB, cores that this process may use, TensorFlow threads a worker."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _cpuinfo("model name") or platform.processor() or "unknown",
        "vector_extensions": next((name for name in VECTORS if name in _flags()), "unknown"),
        "onednn": _onednn(),
        "cores": cores(),
        "threads_per_worker": threads,
        "memory_gib": _memory(),
        "gpus": _gpus(),
    }


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpuinfo(*keys: str) -> str:
    """What the system says of the first processor under one of these keys; empty if nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() in keys), "")


def _flags() -> set[str]:
    return set(_cpuinfo("flags", "Features").split())


def worker_settings() -> dict[str, str]:
    """What a worker's TensorFlow is told on this machine, unless the user told it: oneDNN wherever there is AVX2.

    TensorFlow leaves oneDNN off where AVX2 is all there is; there too small products take 1.6 times as long without.
    """
    return {} if ONEDNN in os.environ or "avx2" not in _flags() else {ONEDNN: "1"}


def _onednn() -> str:
    """Whether a worker's TensorFlow computes by oneDNN: by its own rule, for to ask it takes ten seconds."""
    asked = (os.environ | worker_settings()).get(ONEDNN, "").lower()
    if asked in ("0", "false", "1", "true"):
        return "on" if asked in ("1", "true") else "off"
    return "on" if NEURAL & _flags() and platform.system() == "Linux" else "off"


def _memory() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return 0.0


def free_memory() -> int | None:
    """Bytes that new processes could take: what the system has left, no more than its control group allows; or None."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        lines = MEMORY.read_text(encoding="ascii").splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    for limit in MEMORY_LIMITS:
        with suppress(OSError, ValueError):  # "max" where there is none
            found.append(int(limit.read_text(encoding="ascii")))
    return min(found, default=None)


def processor_ticks() -> tuple[int, int] | None:
    """How many ticks all of the machine's processors were in use since it started, and how many there were; or None."""
    try:
        name, *counts = PROCESSORS.read_text(encoding="ascii").partition("\n")[0].split()
        ticks = [int(each) for each in counts[:8]]  # what guests take is among user's and nice's
    except (OSError, ValueError):
        return None
    total = sum(ticks)
    return (total - sum(ticks[3:5]), total) if name == "cpu" and total else None


def _gpus() -> str:
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "none"
    return "; ".join(listed.split("\n")).strip("; ") or "none"
