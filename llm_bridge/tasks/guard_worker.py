"""The worker process of guard.py: reads one JSON request a line, answers one JSON line. Run as a script, never imported.

Each stage of a request has its own processor-time limit, set as an interval timer whose signal ends the process even inside C
code. Memory: 256 MB beyond the size after start. Nothing can be written to files. Text is never evaluated as Python code: only
math-verify's LaTeX parser is used, not its expression parser, which calls SymPy's parse_expr.
"""

import functools
import json
import os
import re
import signal
import sys

MEMORY_BYTES = 256 * 2**20
PARSE_SECONDS = 0.5
COMPARE_SECONDS = 1.0


def limit_memory():
    try:
        import resource

        with open("/proc/self/statm") as size:
            in_use = int(size.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY_BYTES, in_use + MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass


def limit_time(seconds):
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)


def regex_service():
    def answer(say, pattern, text):
        limit_time(COMPARE_SECONDS)
        match = re.search(pattern, text)
        return None if match is None else match.group(1)

    return answer


def math_service():
    import logging

    from latex2sympy2_extended import NormalizationConfig
    from math_verify import parse, verify
    from math_verify.parser import LatexExtractionConfig

    logging.disable(logging.CRITICAL)
    config = [
        LatexExtractionConfig(
            normalization_config=NormalizationConfig(
                basic_latex=True, units=True, malformed_operators=True, nits=True, boxed="none", equations=False
            )
        )
    ]

    def same(first, second):
        return bool(verify(first, second, timeout_seconds=None) or verify(second, first, timeout_seconds=None))

    @functools.lru_cache(maxsize=512)
    def read(text):
        parsed = parse(f"${text}$", config, fallback_mode="no_fallback", parsing_timeout=None)
        same(parsed, seven)
        return parsed

    def answer(say, first, second):
        parsed = []
        for name, text in (("first", first), ("second", second)):
            limit_time(PARSE_SECONDS)
            parsed.append(read(text))
            say({"stage": name})
        limit_time(COMPARE_SECONDS)
        return bool(parsed[0]) and bool(parsed[1]) and same(*parsed)

    seven = parse("$7$", config, fallback_mode="no_fallback", parsing_timeout=None)
    answer(lambda message: None, r"\frac{\sqrt{3}}{2}+x", r"(1, \frac{\pi}{2}]")
    return answer


def main():
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def say(message):
        out.write(json.dumps(message).encode() + b"\n")

    answer = {"math": math_service, "regex": regex_service}[sys.argv[1]]()
    limit_time(0)
    limit_memory()
    say("ready")
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            result = answer(say, *request)
        except MemoryError:
            return
        except Exception:
            result = None
        limit_time(0)
        say({"result": result})


if __name__ == "__main__":
    main()
