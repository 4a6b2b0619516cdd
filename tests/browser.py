"""A headless Chromium driven over its own pipe: pages as a reader sees and uses them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
Where = str | tuple[float, float]
"""The selector of an element, or a place in the window in CSS pixels."""
PATIENCE = 60.0
"""Seconds for a page or an answer, on a busy machine."""
KEYS = {
    "Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), " ": (32, " "),
    "ArrowLeft": (37, ""), "ArrowUp": (38, ""), "ArrowRight": (39, ""), "ArrowDown": (40, ""),
    "PageUp": (33, ""), "PageDown": (34, ""), "Home": (36, ""), "End": (35, ""),
}  # fmt: skip


class Browser:
    """One page of a headless Chromium; what it says in its console is kept in `messages`."""

    def __init__(self, program: str, profile: Path) -> None:
        read, theirs_out = os.pipe()
        theirs_in, write = os.pipe()
        flags = (
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--remote-debugging-pipe", "--no-first-run", f"--user-data-dir={profile}"),
        )
        line = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", line, "bash", program, *flags, "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._read, self._write, self._buffer = read, os.fdopen(write, "wb"), b""
        self._count, self._session = 0, ""
        self._events: list[dict[str, Any]] = []
        self.messages: list[str] = []
        """Console messages, errors and refusals since the page was opened."""
        self.requests: list[str] = []
        """Addresses that it has asked for since then."""
        page = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser that was started here."""
        self._write.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """The answer to one command of the DevTools protocol."""
        self._count += 1
        number = self._count
        message = {"id": number, "method": method, "params": values}
        if self._session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while (answer := self._next()).get("id") != number:
            self._keep(answer)
        if "error" in answer:
            message = f"{method}: {answer['error']['message']}"
            raise AssertionError(message)
        return answer.get("result", {})

    def open(self, address: Path | str) -> None:
        """Load a file or an address and wait until it has loaded."""
        url = address.resolve().as_uri() if isinstance(address, Path) else address
        for place in ("about:blank", url):  # Another fragment of the same page loads nothing.
            self._events.clear()
            self.messages.clear()
            self.requests.clear()
            self.call("Page.navigate", url=place)
            self.wait_for(lambda: any(e["method"] == "Page.loadEventFired" for e in self._events))

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript in the page; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
            userGesture=True,
        )  # fmt: skip
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Until a condition holds; AssertionError where it never does."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "the page did not get there"
            self.call("Runtime.evaluate", expression="0")
            time.sleep(0.02)

    def until(self, script: str) -> None:
        """Until an expression of JavaScript is true."""
        self.wait_for(lambda: self.run(f"Boolean({script})"))

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release one key, by its name in KeyboardEvent, where the focus is."""
        code, text = KEYS.get(key, (ord(key.upper()[0]), key))
        common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Put text where the focus is."""
        self.call("Input.insertText", text=text)

    def click(self, where: Where) -> None:
        """Press and release the left button in the middle of an element, or at a place."""
        x, y = self._place(where, show=True)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def wheel(self, where: Where, amount: float) -> None:
        """Turn the wheel over an element, or at a place; positive is towards the reader."""
        x, y = self._place(where, show=False)
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=amount)

    def _place(self, where: Where, *, show: bool) -> tuple[float, float]:
        if isinstance(where, tuple):
            return where
        scroll = "e.scrollIntoView({block: 'center', behavior: 'instant'});" if show else ""
        x, y = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(where)}); {scroll}"
            "const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return x, y

    def look(
        self, width: int = 1280, height: int = 900, *, dark: bool = False, calm: bool = False
    ) -> None:
        """The size of the window, and whether the reader prefers the dark or less motion."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        wishes = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"},
        ]
        self.call("Emulation.setEmulatedMedia", media="", features=wishes)

    def screenshot(self, path: Path, *, whole: bool = False) -> Path:
        """Save what is seen as PNG; with `whole` the page to its end."""
        clip = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {**size, "scale": 1}}
        answer = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole, **clip
        )
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    def print_to(self, path: Path) -> Path:
        """Save the page as it is printed, as PDF."""
        answer = self.call("Page.printToPDF", printBackground=False)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    def download_to(self, folder: Path) -> None:
        """Downloads of the page land in this folder."""
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        found, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(found)

    def _keep(self, event: dict[str, Any]) -> None:
        method, values = event.get("method", ""), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            said = [str(a.get("value", a.get("description"))) for a in values["args"]]
            self.messages.append(" ".join(said))
        elif method == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            thrown = details.get("exception", {}).get("description", details["text"])
            self.messages.append(thrown)
        elif method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif method == "Log.entryAdded":
            self.messages.append(values["entry"]["text"])
        if method:
            self._events.append(event)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser of its own; the test is skipped, with a message, where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium here (apt-get install chromium): pages are not tried in one")
    opened = Browser(program, profile)
    try:
        yield opened
    finally:
        opened.close()
