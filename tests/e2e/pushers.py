# pushers.py - many clients at once, as cheap as Python has them: processes of asyncio, each connection pushing without pause.
#
# A push is a small manifest (or blob) and the status that came for it, None when the connection ended before; without a body
# it is a pull. Nothing is asserted here: the caller knows what each may come to.
# SPDX-License-Identifier: Apache-2.0
import asyncio
import multiprocessing
import os
import ssl
import time
from dataclasses import dataclass

import lab as labs


@dataclass
class Push:
    name: str           # the tag, or "" for a blob
    digest: str
    body: bytes         # None: GET it
    status: int = None  # of the answer; None: there was none
    reason: str = ""    # its reason phrase


class Connection:
    def __init__(self, port, context, token, repo):
        self.port, self.context, self.token, self.repo = port, context, token, repo
        self.reader = self.writer = None

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, server_hostname=labs.HOST)

    async def ask(self, method, target, body, kind=None):
        about = f"Accept: {labs.OCI_MANIFEST}" if body is None else f"Content-Length: {len(body)}"
        self.writer.write((f"{method} {target} HTTP/1.1\r\nHost: {labs.HOST}\r\nAuthorization: Bearer {self.token}\r\n{about}\r\n"
                           + (f"Content-Type: {kind}\r\n" if kind else "") + "\r\n").encode() + (body or b""))
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        _, status, reason = (head[0] + "  ").split(" ", 2)
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:])}
        await self.reader.readexactly(int(fields.get("content-length", "0")))
        return int(status), reason.strip(), fields

    async def push(self, p):
        if p.body is None:
            where = f"manifests/{p.name}" if p.name else f"blobs/{p.digest}"
            p.status, p.reason, _ = await self.ask("GET", f"/v2/{self.repo}/{where}", None)
            return
        if p.name:
            p.status, p.reason, _ = await self.ask("PUT", f"/v2/{self.repo}/manifests/{p.name}", p.body, labs.OCI_MANIFEST)
            return
        status, _, fields = await self.ask("POST", f"/v2/{self.repo}/blobs/uploads/", b"")
        if status == 202:
            p.status, p.reason, _ = await self.ask("PUT", f"{fields['location']}?digest={p.digest}", p.body)


async def serve(connection, pushes, begin):
    """One connection's pushes in order, from `begin` (wall clock) on. The ones that were begun."""
    begun = []
    try:
        await connection.open()
        await asyncio.sleep(max(0, begin - time.time()))
        for p in pushes:
            begun.append(p)
            await connection.push(p)
    except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
        pass            # the gateway is gone: what was begun has no answer
    finally:
        if connection.writer:
            connection.writer.transport.abort()
    return begun


def work(port, ca, token, repo, lists, begin):
    async def everything():
        context = ssl.create_default_context(cafile=ca)
        done = await asyncio.gather(*(serve(Connection(port, context, token, repo), pushes, begin) for pushes in lists))
        return [p for begun in done for p in begun]
    return asyncio.run(everything())


class Pushers:
    def __init__(self, processes=2):
        # spawned: a fork would take the locks of our threads along
        self.pool = multiprocessing.get_context("spawn").Pool(processes)
        self.processes = processes
        self.pool.map(os.getpgid, [0] * processes)      # they are there

    def start(self, gateway, token, repo, lists, begin=0):
        """lists: what each connection pushes, in order. The answer is for wait()."""
        return [self.pool.apply_async(work, (gateway.port, gateway.lab.ca, token, repo, lists[i::self.processes], begin))
                for i in range(self.processes)]

    @staticmethod
    def wait(started, seconds=120):
        """All pushes that were begun."""
        return [p for s in started for p in s.get(seconds)]

    def close(self):
        self.pool.terminate()
        self.pool.join()
