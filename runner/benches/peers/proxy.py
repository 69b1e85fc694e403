"""A proxy before an API server that fails exec streams at random, and nothing else."""
import asyncio
import contextlib
import random
import re
import threading

EXEC = re.compile(rb"^\S+ \S*/exec[?/ ]")
LONGEST_HEAD = 1 << 20


class Proxy:
    """Serves plain HTTP on loopback; `share` of the exec streams fail: refused, or cut after up to two seconds.

    One thread does all of it: TLS connections must not be shared by several.
    """

    def __init__(self, server, context, share, seed=1):
        self.server, self.context, self.share = server, context, share
        self.random, self.execs, self.failed = random.Random(seed), 0, 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=256, limit=LONGEST_HEAD)
        self.listener = asyncio.run_coroutine_threadsafe(listening, self.loop).result()
        self.url = f"http://127.0.0.1:{self.listener.sockets[0].getsockname()[1]}"

    def close(self):
        """Takes no more connections and ends those there are."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.listener.close()

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._carry(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        writer.close()

    async def _carry(self, head, reader, writer):
        cut_after = None
        if EXEC.match(head):
            self.execs += 1
            if self.random.random() < self.share:
                self.failed += 1
                if self.random.random() < 0.5:
                    writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    await writer.drain()
                    return
                cut_after = self.random.uniform(0, 2)
        elif b"\r\nupgrade:" not in head.lower():
            # One request per connection, so that every exec has one of its own.
            head = re.sub(rb"\r\nconnection:[^\r]*", b"", head, flags=re.I).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        answers, upstream = await asyncio.open_connection(*self.server, ssl=self.context, server_hostname=self.server[0])
        upstream.write(head)
        pumps = [asyncio.ensure_future(pump(reader, upstream)), asyncio.ensure_future(pump(answers, writer))]
        # When either side ends, or the time is over, both are ended.
        await asyncio.wait(pumps, timeout=cut_after, return_when=asyncio.FIRST_COMPLETED)
        for one in pumps:
            one.cancel()
        upstream.close()


async def pump(source, sink):
    """Carries bytes until either side ends."""
    with contextlib.suppress(OSError):
        while part := await source.read(65536):
            sink.write(part)
            await sink.drain()
