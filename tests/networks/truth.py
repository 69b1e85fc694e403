"""Tells when a port of an address is open, or when it is no more: one line `truth: open MS` or `truth: closed MS`.

Runs in the network namespace of a pod, beside the prober, and tries one connection after the other. A connection that is
established was let in before now; one that is answered by nothing was denied when it was begun. Anything else is an error,
and no answer.
"""

import socket
import sys
import time

TRIED_FOR = 60
ANSWERED_WITHIN = 1

wanted, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
deadline = time.monotonic() + TRIED_FOR
while time.monotonic() < deadline:
    begun = time.time()
    try:
        socket.create_connection((address, port), timeout=ANSWERED_WITHIN).close()
        found, at = "open", time.time()
    except TimeoutError:
        found, at = "closed", begun
    except OSError as error:
        print(f"{address}:{port}: {error}", file=sys.stderr)
        time.sleep(0.1)
        continue
    if found == wanted:
        print(f"truth: {found} {int(at * 1000)}", flush=True)
        sys.exit(0)
    if found == "open":
        time.sleep(0.1)
sys.exit(f"{address}:{port} was never {wanted} within {TRIED_FOR} s")
