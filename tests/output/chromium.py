"""A headless Chromium that a test can ask things, over the pipe that it offers for that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOUND = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--remote-debugging-pipe",
    # One process for all pages: a new one for each file that is opened takes longer than the page.
    "--disable-features=ProactivelySwapBrowsingInstance,IsolateOrigins,site-per-process",
    "--disable-back-forward-cache",
    "--disable-extensions",
    "--renderer-process-limit=1",
    "--no-zygote",
)
WRONG = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


class Page:
    """One tab: what it is told and what it says."""

    def __init__(self, into: int, out: int) -> None:
        self._into, self._out, self._rest = into, os.fdopen(out, "rb"), b""
        self._count, self._session = 0, None
        self.events: list[dict[str, Any]] = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        attached = self.tell("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **params: Any) -> Any:
        """Send a command and wait for its reply."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._next()
            if reply.get("id") == self._count:
                assert "error" not in reply, reply["error"]
                return reply["result"]

    def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page, awaited."""
        reply = self.tell(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression is true; ten seconds at most in the time of the page."""
        until = (
            f"new Promise((done, no) => {{ let n = 0; const look = () => ({expression}) ? done()"
        )
        self.ask(f"{until} : n++ > 400 ? no(`{expression}`) : setTimeout(look, 25); look(); }})")

    def open(self, path: Path) -> None:
        """Load a page and wait until its script has run."""
        self.events.clear()
        self.tell("Page.navigate", url=path.absolute().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()
        self.wait("document.documentElement.dataset.ready === 'yes'")

    def press(self, key: str, **more: Any) -> None:
        """A key, down and up."""
        for kind in ("keyDown", "keyUp"):
            self.tell("Input.dispatchKeyEvent", type=kind, key=key, **more)

    def middle(self, selector: str, number: int = 0) -> tuple[float, float]:
        """Where on the screen the middle of an element is, after scrolling to it."""
        result = self.ask(
            f"(() => {{ const e = document.querySelectorAll('{selector}')[{number}];"
            " e.scrollIntoView({ block: 'nearest' }); const b = e.getBoundingClientRect();"
            " return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        return result[0], result[1]

    def click(self, selector: str, number: int = 0, share: float = 0.5) -> None:
        """A real click of the mouse on an element, so far across it."""
        x, y = self.middle(selector, number)
        width = self.ask(
            f"document.querySelectorAll('{selector}')[{number}].getBoundingClientRect().width"
        )
        place = {"x": x + (share - 0.5) * width, "y": y, "button": "left", "clickCount": 1}
        self.tell("Input.dispatchMouseEvent", type="mouseMoved", x=place["x"], y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.tell("Input.dispatchMouseEvent", type=kind, **place)

    def wheel(self, selector: str, turns: float, **more: Any) -> None:
        """The wheel over an element; below 0: away from oneself."""
        x, y = self.middle(selector)
        self.tell(
            "Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=turns, **more
        )

    def save(self, button: str, path: Path) -> Path:
        """The file that a click downloads, once the browser has written it; ten seconds at most."""
        self.tell("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(path.parent))
        self.click(button)
        for _ in range(200):
            if path.exists() and path.stat().st_size:
                return path
            self.ask("new Promise((done) => setTimeout(done, 50))")
        raise AssertionError(f"{path.name} was not downloaded")

    def close(self) -> None:
        """Hear no more of it."""
        self._out.close()

    def complaints(self) -> list[dict[str, Any]]:
        """Errors, refusals of the policy and whatever the page wrote on the console.

        A video that is not there is none of them.
        """
        result = [event for event in self.events if event["method"] in WRONG]
        return [e for e in result if e["params"].get("entry", {}).get("source") != "network"]

    def addresses(self) -> set[str]:
        """All that was asked for since the page was opened."""
        return {
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        }

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = self._out.read1(1 << 20)
            assert data, "Chromium has gone"
            self._rest += data
        line, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A page in a browser with a profile of its own in `folder`; both go when the block ends."""
    reading, into = os.pipe()
    out, writing = os.pipe()

    def as_three_and_four() -> None:
        # By way of numbers that are neither, in case the pipes have these already.
        first, second = os.dup(reading), os.dup(writing)
        os.dup2(first, 3)
        os.dup2(second, 4)

    process = subprocess.Popen(
        [str(FOUND), *SWITCHES, f"--user-data-dir={folder}", "--window-size=1280,1000"],
        preexec_fn=as_three_and_four,
        pass_fds=(3, 4),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(reading)
    os.close(writing)
    page = None
    try:
        page = Page(into, out)
        yield page
    finally:
        if page is not None:
            page.close()
        os.close(into)
        process.terminate()
        process.wait(20)
