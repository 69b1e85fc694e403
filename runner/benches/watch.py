#!/usr/bin/env python3
"""Watches 1,000 flows on a cluster of the lab and measures what that costs, from the processes of this machine.

usage: watch.py [--minutes 10] [--flowproof PROGRAM (target/release/flowproof)] [--save FILE (the watch as JSON, to look into)]

The cluster is the one of KUBECONFIG, with the prober's image loaded; its nodes are namespaces of this machine (tests/lab).
Each of five scenarios has five pods, and 200 flows, half of them denied, tried ten times a second each. Goals: all probers
together need one core at most, the memory of runner and probers stays flat, the saved file has 5 MB at most. Exit code 1 when
one is missed, or when the watch does not end with 0: nothing happens meanwhile, so nothing may be told.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PODS, PORTS, SCENARIOS, EVERY_S = 5, 10, 5, 5
# Not what is measured: Calico programs nothing while it clears the connection tracking of a pod that is gone, and this watch
# leaves 200,000 entries there.
SETTLE = "60s"
TICKS = os.sysconf("SC_CLK_TCK")


def scenario(number):
    ports = [f"{'tcp' if port % 2 else 'udp'}/{8000 + port}" for port in range(PORTS)]
    pods = "\n".join(f"  ns{number}/p{pod}: {{ listens: [{', '.join(ports)}] }}" for pod in range(PODS))
    half = range(PORTS // 2)
    allowed = "\n".join(f"            - {{ protocol: {ports[i][:3].upper()}, port: {8000 + i} }}" for i in half)
    return f"""scenario: five pods that reach half of their ports ({number})
families: [4]
namespaces: {{ ns{number}: }}
workloads:
{pods}
policies:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {{ name: half, namespace: ns{number} }}
    spec:
      podSelector: {{}}
      ingress:
        - ports:
{allowed}
expect:
  allow: [{', '.join(f'"any -> any {ports[i]}"' for i in half)}]
  deny: [{', '.join(f'"any -> any {ports[i]}"' for i in range(PORTS // 2, PORTS))}]
"""


def usage(pid):
    """What a process has used so far, and holds now: (CPU seconds, resident KiB)."""
    process = pathlib.Path("/proc", str(pid))
    fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
    resident = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return (int(fields[11]) + int(fields[12])) / TICKS, resident


def probers():
    """The usage of every prober that lives, by its process."""
    found = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "comm").read_text().strip() == "flowproof-probe":
                found[entry.name] = usage(entry.name)
        except (OSError, IndexError):
            continue
    return found


def punctuality(outcome):
    """The part of all attempts that were due which were made."""
    made = due = 0
    for watched in (scenario["watched"] for scenario in outcome["scenarios"]):
        made += sum(flow["attempts"] for flow in watched["flows"])
        due += len(watched["flows"]) * (watched["until_ms"] - watched["from_ms"]) / watched["interval_ms"]
    return made / due


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--flowproof", default=str(ROOT / "target/release/flowproof"))
    parser.add_argument("--save")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(SCENARIOS):
            pathlib.Path(folder, f"{number}.yaml").write_text(scenario(number))
        saved = pathlib.Path(folder, "saved.json")
        seconds = round(arguments.minutes * 60)
        command = [arguments.flowproof, "watch", "--cluster", "kube", "--progress", "none", "--for", f"{seconds}s", "--settle", SETTLE]
        command += ["--save", saved, folder]
        told = open(pathlib.Path(folder, "told.txt"), "w+")
        runner = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)
        samples = []
        while runner.poll() is None:
            samples.append((time.monotonic(), probers(), usage(runner.pid)))
            time.sleep(EVERY_S)
        told.seek(0)
        output = told.read()
        size = saved.stat().st_size if saved.exists() else 0
        made = punctuality(json.loads(saved.read_text())) if size else 0
        if arguments.save and size:
            shutil.copy(saved, arguments.save)
    # The watch proper: from when all probers are there, without the pods that are started meanwhile, to its end.
    full = [sample for sample in samples if len(sample[1]) >= PODS * SCENARIOS][2:-2]
    if len(full) < 4:
        sys.exit(f"the watch was too short, or did not begin:\n{output}")
    quarter = full[len(full) // 4]
    last = full[-1]
    lasting = [pid for pid in quarter[1] if pid in last[1]]
    cores = sum(last[1][pid][0] - quarter[1][pid][0] for pid in lasting) / (last[0] - quarter[0])
    figures = [
        ("attempts that were made, of those that were due", made * 100, "%", None),
        ("CPU of all probers", cores, "cores", 1.0),
        ("CPU of the runner", (last[2][0] - quarter[2][0]) / (last[0] - quarter[0]), "cores", None),
        ("largest prober, after a quarter of the time", max(quarter[1][pid][1] for pid in lasting) / 1024, "MiB", None),
        ("its growth until the end", max(last[1][pid][1] - quarter[1][pid][1] for pid in lasting) / 1024, "MiB", 1.0),
        ("runner, after a quarter of the time", quarter[2][1] / 1024, "MiB", None),
        ("its growth until the end", (last[2][1] - quarter[2][1]) / 1024, "MiB", 10.0),
        ("saved file", size / 1e6, "MB", 5.0),
    ]
    print("\n".join(line for line in output.strip().splitlines()[-12:]))
    print(f"exit code {runner.returncode}, {len(lasting)} probers")
    missed = runner.returncode != 0
    for what, value, unit, goal in figures:
        verdict = "" if goal is None else f"goal {goal:g}  {'reached' if value <= goal else 'MISSED'}"
        missed |= goal is not None and value > goal
        print(f"{what:48} {value:8.2f} {unit:6} {verdict}")
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
