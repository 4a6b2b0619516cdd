"""Plugin: nipype's MultiProc, except that a killed step fails instead of hanging for ever."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer, run_node

PR_SET_PDEATHSIG = 1
"""Number of the call of Linux by which a process ends with the one that started it."""


class SurvivingMultiProcPlugin(MultiProcPlugin):  # type: ignore[misc]
    """Steps side by side in processes, where one that the system kills costs only itself.

    A killed process breaks the pool and everything that runs in it. Each step that was lost
    so is run once more in a process of its own; if that is killed too, the step has failed,
    with the signal that ended it as the reason. Where this process is killed, its steps end
    with it: none goes on writing into what the next run reads.
    """

    def __init__(self, plugin_args: dict[str, Any] | None = None) -> None:
        super().__init__(plugin_args=plugin_args)
        self.pool = _pool(self.processors)
        self._jobs: dict[int, tuple[Any, bool]] = {}
        self._alone: dict[int, tuple[ProcessPoolExecutor, list[BaseProcess]]] = {}

    def _submit_job(self, node: Any, updatehash: bool = False) -> int:  # noqa: FBT001, FBT002
        try:
            taskid: int = super()._submit_job(node, updatehash)
        except BrokenProcessPool:
            self.pool = _pool(self.processors)
            taskid = super()._submit_job(node, updatehash)
        self._jobs[taskid] = node, updatehash
        return taskid

    def _async_callback(self, args: Future[Any]) -> None:
        """Nothing: `_get_result` asks the future itself, which also knows of a death."""

    def _get_result(self, taskid: int) -> dict[str, Any] | None:
        future: Future[dict[str, Any]] = self._task_obj[taskid]
        if not future.done():
            return None
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, BrokenProcessPool):
            if taskid not in self._alone:
                self._run_alone(taskid)
                return None
            number = _signal_of(self._alone[taskid][1])
            text = f"StepKilledError: {number}\n"
        else:
            text = f"{type(error).__name__}: {error}\n"
        return {"result": None, "traceback": [text], "taskid": taskid}

    def _run_alone(self, taskid: int) -> None:
        pool, others = _pool(1), active_children()
        node, updatehash = self._jobs[taskid]
        self._task_obj[taskid] = pool.submit(run_node, node, updatehash, taskid)
        self._alone[taskid] = pool, [p for p in active_children() if p not in others]

    def _clear_task(self, taskid: int) -> None:
        super()._clear_task(taskid)
        del self._jobs[taskid]
        if taskid in self._alone:
            self._alone.pop(taskid)[0].shutdown(wait=False)


def end_with(parent: int) -> None:
    """End this process when that one ends, however it ends; only Linux can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def _signal_of(processes: list[BaseProcess]) -> int:
    """The signal that ended a step; 0 where it left by itself."""
    for process in processes:
        process.join(5)
    return max((-(p.exitcode or 0) for p in processes), default=0)


def _begin(folder: str, parent: int) -> None:
    end_with(parent)
    process_initializer(folder)


def _pool(workers: int) -> ProcessPoolExecutor:
    initargs = (str(Path.cwd()), os.getpid())
    fork = get_context("fork")  # Whoever forks is the parent; a fork server would not be.
    return ProcessPoolExecutor(workers, fork, initializer=_begin, initargs=initargs)
