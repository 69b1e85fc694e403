"""The peer's test cases, as its own dry run prints them: policies and expected matrices; and the same as scenarios."""
import re
import subprocess

NAMESPACES = ("x", "y", "z")
PODS = ("a", "b", "c")
PORTS = ("tcp/80", "tcp/81", "udp/80", "udp/81")  # the order within a cell of the peer's tables


def read(cyclonus, arguments):
    """Returns (title, policies as YAML, {(source, destination): cell}) per case, without touching a cluster."""
    command = [cyclonus, "generate", "--mock", "--noisy", "--perturbation-wait-seconds", "0", *arguments]
    text = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    cases = []
    for part in re.split(r"^starting test case #\d+$", text, flags=re.M)[1:]:
        title = re.search(r"^evaluating test case: (.*)$", part, re.M)[1]
        policies = re.findall(r"^(apiVersion: networking.k8s.io/v1\n(?:[ a-z].*\n)+)", part, re.M)
        cells = matrix(part.split("Expected combined:")[1])
        if not policies or len(cells) != 81 or any(len(cell) != len(PORTS) for cell in cells.values()):
            raise SystemExit(f"the case '{title}' has another shape than expected: is this cyclonus v0.5.6?")
        cases.append((title, policies, cells))
    return cases


def matrix(text):
    """Reads the first table of a text: {(source, destination): [sign per port]}; `.` is allowed, `X` is denied."""
    names = [f"{namespace}/{pod}" for namespace in NAMESPACES for pod in PODS]
    cells = {}
    for source, row in re.findall(r"^\| ([xyz]/[abc]) +\|(.*)\|$", text.split("\n\n")[0], re.M):
        cells.update({(source, name): cell.split() for name, cell in zip(names, row.split("|"))})
    return cells


def verdicts(text, cases):
    """Counts what the peer's output says of flows between two pods: (told, wrongly denied, wrongly allowed, failed cases)."""
    told = denied = allowed = failed = 0
    for part, (_, _, expected) in zip(re.split(r"^starting test case #\d+$", text, flags=re.M)[1:], cases):
        rounds = part.split("kube results, try ")[1:]
        failed += not rounds or "Discrepancy found" in part
        if not rounds:
            continue
        for pair, cell in matrix(rounds[-1]).items():
            if pair[0] != pair[1]:
                told += len(cell)
                denied += sum(sign != "." and wanted == "." for sign, wanted in zip(cell, expected[pair]))
                allowed += sum(sign == "." and wanted != "." for sign, wanted in zip(cell, expected[pair]))
    return told, denied, allowed, failed


def scenario(title, policies, cells):
    """Writes a case as a scenario with every flow between two pods written out."""
    lines = [f"scenario: '{title}'", "families: [4]", "namespaces:"]
    lines += [f"  {namespace}: {{ labels: {{ ns: \"{namespace}\" }} }}" for namespace in NAMESPACES]
    lines.append("workloads:")
    for namespace in NAMESPACES:
        for pod in PODS:
            lines.append(f"  {namespace}/{pod}: {{ labels: {{ pod: {pod} }}, listens: [{', '.join(PORTS)}] }}")
    lines.append("policies:")
    for policy in policies:
        first, *rest = [line for line in policy.rstrip().split("\n") if "creationTimestamp" not in line]
        lines += [f"  - {first}", *(f"    {line}" for line in rest)]
    lines.append("expect:")
    for word, sign in (("allow", "."), ("deny", "X")):
        flows = []
        for (source, destination), cell in cells.items():
            ports = [port for port, cell_sign in zip(PORTS, cell) if cell_sign == sign]
            if source != destination and ports:
                flows.append(f"    - {source} -> {destination} {' '.join(ports)}")
        lines += [f"  {word}:", *flows] if flows else []
    return "\n".join(lines) + "\n"
