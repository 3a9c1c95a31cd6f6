"""Memory: growth of a process during a test."""

from pathlib import Path


class Memory:
    """Memory of one process, from now on."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        # VmHWM begins anew, from VmRSS
        (self._folder / "clear_refs").write_text("5")
        self._before = self._read("VmRSS")

    def grown(self) -> float:
        """Return the growth at its height, in MiB."""
        return (self._read("VmHWM") - self._before) / 1024

    def _read(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))
