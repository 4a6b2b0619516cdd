"""Plugin: nipype's MultiProc, except that a killed step fails instead of hanging for ever."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer, run_node


class SurvivingMultiProcPlugin(MultiProcPlugin):  # type: ignore[misc]
    """Steps side by side in processes, where one that the system kills costs only itself.

    A killed process breaks the pool and everything that runs in it. Each step that was lost
    so is run once more in a process of its own; if that is killed too, the step has failed.
    """

    def __init__(self, plugin_args: dict[str, Any] | None = None) -> None:
        super().__init__(plugin_args=plugin_args)
        self._jobs: dict[int, tuple[Any, bool]] = {}
        self._alone: dict[int, ProcessPoolExecutor] = {}

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
        if isinstance(error, BrokenProcessPool) and taskid not in self._alone:
            pool = self._alone[taskid] = _pool(1)
            node, updatehash = self._jobs[taskid]
            self._task_obj[taskid] = pool.submit(run_node, node, updatehash, taskid)
            return None
        text = f"{type(error).__name__}: {error}\n"
        return {"result": None, "traceback": [text], "taskid": taskid}

    def _clear_task(self, taskid: int) -> None:
        super()._clear_task(taskid)
        del self._jobs[taskid]
        if taskid in self._alone:
            self._alone.pop(taskid).shutdown(wait=False)


def _pool(workers: int) -> ProcessPoolExecutor:
    here = (str(Path.cwd()),)
    return ProcessPoolExecutor(workers, initializer=process_initializer, initargs=here)
