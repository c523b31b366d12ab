"""measure.py OOMLAB BENCH_PLAN BENCH_ALLOCATOR: what run.sh runs; README.md says what each number means."""
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PLAN_RUNS = 50
SUITE_RUNS = 5


def once(command):
    """Seconds on the clock, seconds of processor time and peak KiB of one run; its output is dropped.

    The peak is never below what this process has (about 15 MiB): the kernel counts it from before the exec."""
    null = os.open(os.devnull, os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    start = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    os.close(null)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit("measure.py: %s failed" % " ".join(command))
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def median_of(command, runs):
    """The medians of the same three, and the best time on the clock."""
    wall, cpu, kib = zip(*(once(command) for _ in range(runs)))
    return statistics.median(wall), statistics.median(cpu), max(kib), min(wall)


def output_of(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def machine():
    """The machine in words."""
    model, memory = platform.machine(), ""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        found = re.search(r"^model name\s*: (.*)$", f.read(), re.M)
        model = found.group(1) if found else model
    with open("/proc/meminfo", encoding="utf-8") as f:
        memory = "%.0f GiB of memory" % (int(f.readline().split()[1]) / 2**20)
    cores = len(os.sched_getaffinity(0))
    return "%s, %d core%s, %s, %s" % (model, cores, "s"[:cores > 1], memory, platform.system())


def plan_rows(oomlab):
    for name, title, goal in (("llama-2-70b", "`plan`, a training step of Llama-2-70B", "20 ms"),
                              ("gpt2-124m", "`plan`, two training steps of GPT-2 124M", "5 ms")):
        wall, cpu, _, best = median_of([oomlab, "plan", os.path.join(HERE, name + ".json")], PLAN_RUNS)
        yield (title, "%.1f ms (best %.1f, processor time %.1f)" % (wall * 1e3, best * 1e3, cpu * 1e3),
               "below " + goal)


def suite_row(oomlab):
    scenarios = os.path.join(ROOT, "scenarios")
    wall, cpu, kib, best = median_of(
        [oomlab, "run", scenarios, "--results", os.devnull, "--table", os.devnull], SUITE_RUNS)
    return ("the whole suite, `run scenarios`", "%.2f s (best %.2f, processor time %.2f), %.0f MiB"
            % (wall, best, cpu, kib / 1024), "below 4 s and 200 MiB")


def linear_rows(bench_plan):
    text = output_of([bench_plan, os.path.join(HERE, "gpt2-124m.json")])
    for n, seconds, ns, kib in re.findall(r"(\d+) operations +([\d.]+) s +([\d.]+) ns .*?(\d+) KiB", text):
        yield ("lowering and planning %s operations" % format(int(n), ","),
               "%.3f s, %.0f ns an operation, %.0f MiB" % (float(seconds), float(ns), int(kib) / 1024),
               "ns an operation do not grow")


def torch_figures():
    """Name of a trace -> nanoseconds a call of PyTorch's own allocator, as its benchmark printed them."""
    path, figures = os.environ.get("BENCH_TORCH"), {}
    if path:
        with open(path, encoding="utf-8") as f:
            for line in f:
                found = re.match(r"(\S+) conf=\S* (\{.*\})$", line.strip())
                if found:
                    figures[found.group(1)] = json.loads(found.group(2))["cpu_ns_per_call_median"]
    return figures


def allocator_rows(bench_allocator):
    figures = torch_figures()
    traces = os.environ.get("BENCH_TRACES", "").split()
    text = output_of([bench_allocator] + traces)
    conf = ""
    for line in text.splitlines():
        if line.startswith("conf="):
            conf = line[5:]
        found = re.match(r"(.*?) +(\d+) calls +([\d.]+) ns a call .*?([\d.]+) million pairs", line)
        if not found:
            continue
        name, _, ns, pairs = found.groups()
        value = "%s million pairs a second, %s ns a call" % (pairs, ns)
        if name in figures:
            value += "; PyTorch's own %.0f ns, %.1f times" % (figures[name], figures[name] / float(ns))
        yield ("allocator, %s%s" % (name, ", `%s`" % conf if conf else ""), value,
               "twice PyTorch's rate or more" if name in figures else "ns a call do not grow with the events")


def main():
    oomlab, bench_plan, bench_allocator = (os.path.abspath(path) for path in sys.argv[1:4])
    rows = list(plan_rows(oomlab))
    rows.append(suite_row(oomlab))
    rows += linear_rows(bench_plan)
    rows += allocator_rows(bench_allocator)
    lines = ["# Figures of one machine", "", "Made by `bench/run.sh`; `README.md` says what each number means.", "",
             "Machine: " + machine() + ".", "", "| what | measured | goal |", "|---|---|---|"]
    lines += ["| %s | %s | %s |" % row for row in rows]
    text = "\n".join(lines) + "\n"
    print(text)
    with open(os.path.join(HERE, "figures.md"), "w", encoding="utf-8") as f:
        f.write(text)


main()
