"""A page in headless Chromium, driven through its DevTools protocol: no driver of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
KEYS = {
    **{
        f"Arrow{way}": code
        for way, code in (("Left", 37), ("Up", 38), ("Right", 39), ("Down", 40))
    },
    "PageUp": 33,
    "PageDown": 34,
    "Tab": 9,
    "Enter": 13,
}


def chromium() -> str:
    """The path of a browser; the test is skipped where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    return found


class Browser:
    """One page, and all that it wrote to its console."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any) -> None:
        self._loop, self._socket, self._count = loop, socket, 0
        self.messages: list[str] = []
        self.requests: list[str] = []

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to a method of the protocol."""
        return self._loop.run_until_complete(self._send(method, parameters))

    async def _send(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        while True:
            answer = json.loads((await asyncio.wait_for(self._socket.receive(), 60)).data)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer["method"], answer.get("params", {}))

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event == "Runtime.consoleAPICalled":
            self.messages.append(" ".join(str(a.get("value")) for a in told["args"]))
        elif event == "Runtime.exceptionThrown":
            self.messages.append(str(told["exceptionDetails"]))
        elif event == "Log.entryAdded":
            self.messages.append(told["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    def open(self, page: Path, *, width: int = 1280, height: int = 900, **features: str) -> None:
        """Load a page from the disk, with media features as `prefers_color_scheme="dark"`."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.resize(width, height)
        media = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.send("Emulation.setEmulatedMedia", features=media)
        self.send("Page.navigate", url=page.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def resize(self, width: int, height: int) -> None:
        """The size of the window, CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def value(self, script: str) -> Any:
        """What an expression gives in the page."""
        told = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait(self, script: str, seconds: float = 30) -> None:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.value(f"Boolean({script})"):
            assert time.monotonic() < end, f"never true: {script}; console: {self.messages}"
            time.sleep(0.05)

    def key(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key where the focus is."""
        code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        told: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        told |= {"modifiers": 8 if shift else 0} | ({"text": key} if len(key) == 1 else {})
        self.send("Input.dispatchKeyEvent", type="keyDown", **told)
        self.send("Input.dispatchKeyEvent", type="keyUp", **told)

    def click(self, x: float, y: float) -> None:
        """Press the left button at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def wheel(self, x: float, y: float, amount: float) -> None:
        """Turn the wheel at a place of the window; positive is towards the reader."""
        place = {"x": x, "y": y, "deltaX": 0, "deltaY": amount}
        self.send("Input.dispatchMouseEvent", type="mouseWheel", **place)

    def screenshot(self, path: Path, *, whole: bool = False) -> Path:
        """A picture of the window, or of the whole page."""
        told = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))
        return path

    def pdf(self, path: Path) -> Path:
        """The page as it is printed."""
        path.write_bytes(
            base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"])
        )
        return path


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A fresh browser without network; closed at the end."""
    program = chromium()
    with tempfile.TemporaryDirectory() as profile, asyncio.Runner() as runner:
        line = [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--remote-debugging-port=0", f"--user-data-dir={profile}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank",
        ]  # fmt: skip
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = os.environ | {"HOME": profile}
        with subprocess.Popen(line, env=environment, **quiet) as process:
            try:
                port = _port(Path(profile) / "DevToolsActivePort", process)
                session, socket = runner.run(_connect(port))
                yield Browser(runner.get_loop(), socket)
                runner.run(session.close())
            finally:
                process.terminate()
                process.wait(20)


def _port(path: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, IndexError, ValueError):
            return int(path.read_text().splitlines()[0])
        time.sleep(0.05)
    pytest.skip("Chromium is here and does not start")


async def _connect(port: int) -> tuple[aiohttp.ClientSession, Any]:
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = [page for page in await answer.json() if page["type"] == "page"]
    address = pages[0]["webSocketDebuggerUrl"]
    return session, await session.ws_connect(address, max_msg_size=0)
