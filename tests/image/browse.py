#!/usr/bin/env python3
"""The first person at the web page of the machine under test, for boot.sh: a real Chromium that opens it by its name in the house, becomes its owner, and
says a sentence in the chat.

`browse.py HOST:PORT ADDRESS CODE SENTENCE ANSWER PICTURE`: the page's host and port, the address that it stands for, the setup code, what is typed, a part
of what must be answered, and a file for a picture of the page.
"""

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE_S = 60
PASSWORD = "correct horse battery"
# The key under which WebDriver passes elements.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    def __init__(self, folder, rules):
        with contextlib.closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.at = f"http://127.0.0.1:{port}"
        own = {**os.environ, "HOME": folder, "TMPDIR": folder}
        self.log = open(os.path.join(folder, "log"), "w+", encoding="utf-8")
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], env=own, stdout=self.log, stderr=self.log)
        wait_for("chromedriver is ready", lambda: self.call("GET", "/status")["ready"])
        args = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--window-size=1280,900",
                f"--user-data-dir={folder}/chromium", f"--host-resolver-rules={rules}"]
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": args}, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.at += f"/session/{session['sessionId']}"

    def call(self, method, path, body=None):
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.at + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as refusal:
            raise LookupError(json.load(refusal)["value"]["message"]) from refusal

    def element(self, css):
        return "/element/" + self.call("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]

    def click(self, css):
        wait_for(f"{css} can be clicked", lambda: self.call("POST", self.element(css) + "/click") is None)

    def type(self, css, text):
        wait_for(f"{css} can be typed into", lambda: self.call("POST", self.element(css) + "/value", {"text": text}) is None)

    def text(self, css):
        return self.call("GET", self.element(css) + "/text")

    def close(self):
        with contextlib.suppress(OSError, LookupError):
            self.call("DELETE", "")
        self.driver.terminate()
        self.driver.wait()


def wait_for(what, holds):
    """Until it does; elements may come and go meanwhile."""
    until, why = time.monotonic() + PATIENCE_S, None
    while time.monotonic() < until:
        try:
            if holds():
                return
        except (OSError, LookupError) as problem:
            why = problem
        time.sleep(0.1)
    raise TimeoutError(f"waited for: {what}; {why or ''}")


def main():
    place, address, code, sentence, answer, picture = sys.argv[1:]
    host = place.split(":")[0]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(folder, f"MAP {host} {address}")
        try:
            browser.call("POST", "/url", {"url": f"http://{place}/"})
            browser.type("#setup-code", code)
            browser.type("#setup-password", PASSWORD)
            browser.type("#setup-again", PASSWORD)
            browser.click("#login-button")
            browser.type("#user-name", "Anna")
            browser.click("#user-create")
            browser.type("#chat-input", sentence)
            browser.click("#chat-send")
            heard = ".message[data-from=house][data-state=done] .message-text"
            wait_for(f"an answer with {answer!r}", lambda: answer in browser.text(heard))
            print(browser.text(heard))
        except (TimeoutError, LookupError) as problem:
            with contextlib.suppress(OSError, LookupError):
                print(browser.text("body"), file=sys.stderr)
            sys.exit(str(problem))
        finally:
            with contextlib.suppress(OSError, LookupError), open(picture, "wb") as file:
                file.write(base64.b64decode(browser.call("GET", "/screenshot")))
            browser.close()


if __name__ == "__main__":
    main()
