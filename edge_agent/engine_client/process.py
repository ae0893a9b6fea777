"""The engine as an operating-system process: spawned, its stderr read, killed, its zombie collected.

Knows nothing of what the engine says. Everything happens on the event loop's thread: the engine asks the kernel to be
killed when the thread that spawned it ends (PR_SET_PDEATHSIG), so no short-lived thread may do it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping, Sequence

from edge_agent.engine_client.stderr_tail import StderrTail


class EngineProcess:
    """A direct child in the agent's session. `exited` gets Popen's return code once the zombie is collected.

    `environ` None inherits the agent's environment untouched. Raises OSError when the process cannot be spawned.
    """

    def __init__(self, command: Sequence[str], *, pass_fds: Sequence[int], environ: Mapping[str, str] | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.stderr = StderrTail()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._stderr_transport: asyncio.ReadTransport | None = None
        # S603: the command is the agent's own, never a client's.
        self._popen = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=pass_fds,
            env=_engine_environ(environ),
        )
        self._pidfd = self._open_pidfd()
        self._loop.add_reader(self._pidfd, self._collect)

    @property
    def pid(self) -> int:
        return self._popen.pid

    async def read_stderr(self) -> None:
        """Begin to read stderr; returns at once."""
        self._stderr_transport, _ = await self._loop.connect_read_pipe(lambda: self.stderr, self._popen.stderr)

    def kill(self) -> None:
        """SIGKILL; nothing if the process is gone."""
        self._popen.kill()

    async def close(self) -> None:
        """Kill the process if it lives, wait until it is gone, close its pipe."""
        self.kill()
        await self.exited
        if self._stderr_transport is not None:
            self._stderr_transport.close()
            await self.stderr.closed
        elif self._popen.stderr is not None:
            self._popen.stderr.close()

    def _open_pidfd(self) -> int:
        try:
            return os.pidfd_open(self._popen.pid)
        except OSError:
            self._popen.kill()
            self._popen.communicate()
            raise

    def _collect(self) -> None:
        returncode = self._popen.poll()
        if returncode is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.exited.set_result(returncode)


def _engine_environ(environ: Mapping[str, str] | None) -> dict[str, str] | None:
    """`environ` without ggml's habit of starting a debugger on itself when it aborts."""
    return None if environ is None else {**environ, "GGML_NO_BACKTRACE": "1"}
