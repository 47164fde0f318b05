#!/usr/bin/env python3
"""What the tests that deploy/test.sh has run came to: a second try for some, what failed and why, and the counts in the last line.

    test_results.py ROOT RESULTS

ROOT is the source tree. RESULTS holds what each run of CTest left: N-PRESET-LABEL.xml and what it printed, .out; `did-not-run` names runs that left nothing;
`failed` is there when any of them failed. The exit code is 0 when all passed.

Tests that live in real time (sockets, threads, processes) may fail on a machine that stands still for seconds. Such a test is run once
more, alone, and counts as passed when it passes then; it is named all the same. Unit tests are among them: one that does not live in
real time fails again. Simulators, ThreadSanitizer and fuzzing must pass at once, and what no slow machine brings about (a crash, a
sanitizer's report, a history that no sound store has) fails for good.

What is printed last is short, for who sees only the end: of each failed test the lines that say what did not hold.
"""
import glob
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as xml

IN_REAL_TIME = ("unit", "integration", "waiting", "e2e", "partition")
SECOND_TRIES = 4  # when more fail, it is not the machine
TOLD_MAX = 10     # tests whose output is shown at the end
FINDING = re.compile(r"Sanitizer|runtime error:|Assertion .* failed|NOT LINEARIZABLE|is lost|differs at revision|"
                     r"VIOLATED(?!.*\n +\S+ does not answer)")
LEAKS = re.compile(r".*(ERROR: LeakSanitizer: detected memory leaks|SUMMARY: AddressSanitizer: \d+ byte\(s\) leaked).*")
CAUSE = re.compile(r"(FAIL|not ok)\b|\[  ERROR   \]|\[   LINE   \]|[\w.]*(Error|Exception|Expired|Timeout)(:|$)|.*ERROR: \w+Sanitizer|"
                   r".*runtime error:|.*Assertion .* failed|.*(NOT LINEARIZABLE|VIOLATED)", re.ASCII)
CAUSE_MAX = 8     # lines
TELLING = re.compile(r"FAIL|not ok|\berror\b|Error|Assertion|ERROR: |Timeout|assert", re.ASCII)


class Case:
    def __init__(self, element, preset, label, how):
        self.name, self.preset, self.label = element.get("name"), preset, label
        self.status = element.get("status")
        self.how = how.get(self.name, "Failed")  # Failed, Timeout, Exception: SegFault, Subprocess aborted Exception
        self.output = element.findtext("system-out") or ""

    def failed(self):
        return self.status not in ("run", "notrun", "disabled")

    def may_try_again(self):
        output = self.output
        if "[  FAILED  ]" in output:  # cmocka left a test in its middle: what that had is a leak, and no finding
            output = LEAKS.sub("", output)
        return self.label in IN_REAL_TIME and "Exception" not in self.how and not FINDING.search(output)

    def __str__(self):
        return f"{self.name} ({self.preset})"

    def tell(self):
        """The end of its output, and before that the lines that look like the cause."""
        lines = self.output.splitlines()
        telling = [line for line in lines[:-20] if TELLING.search(line)]
        print(f"---- {self}: {self.how}")
        for line in [*telling[-40:], *(["…"] if telling else []), *lines[-20:]]:
            print("    " + line[:400])

    def causes(self):
        """What did not hold, in few lines: assertions and, of a shell test, the first line of what it got."""
        lines = self.output.splitlines()
        found = [line for before, line in zip(["", *lines], lines)
                 if CAUSE.match(line) or (before.startswith("FAIL") and line.startswith("     | "))]
        return [line.strip()[:300] for line in found[:CAUSE_MAX] or lines[-4:]]


def read(path):
    preset, label = os.path.basename(path)[:-len(".xml")].split("-")[1:3]
    how = {}
    if os.path.exists(path[:-len("xml")] + "out"):
        with open(path[:-len("xml")] + "out", encoding="utf-8", errors="replace") as f:
            how = {name: " ".join(w.rstrip(": ") for w in words if w)
                   for name, *words in re.findall(r"Test +#\d+: (\S+) [. ]*([A-Za-z ]*)\*\*\*(\S.*?) +[\d.]+ sec", f.read())}
    return [Case(e, preset, label, how) for e in xml.parse(path).getroot().iter("testcase")]


def try_again(case, root, results):
    path = os.path.join(results, f"again-{case.preset}-{case.label}.xml")
    print(f"== {case.name} ({case.preset}) a second time, alone", flush=True)
    subprocess.run(["ctest", "--test-dir", os.path.join(root, "build", case.preset), "-R", f"^{case.name}$", "--output-on-failure",
                    "--test-output-truncation", "head", "--output-junit", path], check=False)
    try:
        again = read(path)
    except (OSError, xml.ParseError) as e:
        case.output += f"\nFAIL the second try left no result: {e}"
        return False
    case.output += "".join("\n-- the second time:\n" + c.output for c in again if c.failed())
    return not any(c.failed() for c in again)


def left_running(root):
    """Ends what runs from our build directories: a test left it behind. How many those were."""
    left = 0
    for exe in glob.glob("/proc/[0-9]*/exe"):
        try:
            target = os.readlink(exe)
            if not target.startswith(os.path.join(root, "build") + "/"):
                continue
            pid = int(exe.split("/")[2])
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                print(f"left running by a test: {pid} {f.read().replace(bytes(1), b' ').decode(errors='replace')[:120]}")
            os.kill(pid, signal.SIGKILL)
            left += 1
        except OSError:  # it has just ended
            pass
    return left


def main():
    root, results = os.path.realpath(sys.argv[1]), sys.argv[2]
    cases = [c for path in sorted(glob.glob(os.path.join(results, "*.xml"))) for c in read(path)]
    failed = [c for c in cases if c.failed()]
    lost = []
    if os.path.exists(os.path.join(results, "did-not-run")):
        with open(os.path.join(results, "did-not-run"), encoding="utf-8") as f:
            lost = f.read().splitlines()
    unexplained = os.path.exists(os.path.join(results, "failed")) and not failed and not lost
    left = left_running(root)
    second = []
    if failed and len(failed) <= SECOND_TRIES and not lost and all(c.may_try_again() for c in failed):
        left = 0  # what ran on belonged to those that failed
        second = [c for c in failed if try_again(c, root, results)]
        left = left_running(root)
    failed = [c for c in failed if c not in second]

    for c in (failed + second)[:TOLD_MAX]:
        c.tell()
    for c in cases:
        if c.status in ("notrun", "disabled"):
            print("skipped:", c)
    for c in second:
        print("\n    ".join([f"second try: {c}", *c.causes()]))
    for c in failed:
        print("\n    ".join([f"FAILED: {c}: {c.how}", *c.causes()]))
    for run in lost:
        print("FAILED: no result of", run)
    if unexplained:
        print("FAILED: CTest says so of a run without a test that failed")
    bad = len(failed) + len(lost) + left + unexplained
    passed = sum(c.status == "run" for c in cases) + len(second)
    print(f"{passed} passed, {bad} failed")
    return 1 if bad or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
