#!/usr/bin/env python3
"""A web server that has one file and a bad line, for update.sh: the first answer breaks off in the middle, later ones go on from where they are asked
to. `shop.py FILE PORT`: serves FILE on 127.0.0.1 under every path, prints `ready`, and then from which byte on it was asked for.
"""

import http.server
import os
import shutil
import sys

path, port = sys.argv[1], int(sys.argv[2])
size = os.path.getsize(path)


class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self):
        span = self.headers.get("Range", "bytes=0-")
        start = int(span.removeprefix("bytes=").removesuffix("-"))
        print(start, flush=True)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(size - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        Shop.asked += 1
        with open(path, "rb") as file:
            file.seek(start)
            if Shop.asked == 1:
                self.wfile.write(file.read(size // 2))
                self.close_connection = True
            else:
                shutil.copyfileobj(file, self.wfile)

    def log_message(self, *_):
        """Nobody reads it."""


shop = http.server.ThreadingHTTPServer(("127.0.0.1", port), Shop)
print("ready", flush=True)
shop.serve_forever()
