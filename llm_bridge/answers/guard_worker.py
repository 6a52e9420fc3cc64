"""The worker process of guard.py: reads one JSON request a line, answers JSON lines. Run as a script, never
imported.

The process loads its libraries once and then only forks: a child serves the requests, and when one of them
ends it, the next child is there within milliseconds. Limits of a child: processor time for each stage of a
request, set as an interval timer whose signal ends the process even inside C code; 256 MB beyond the size
after start; nothing can be written to files.

Text is never evaluated as Python code. math-verify's LaTeX parser is used, not its expression parser, which
calls SymPy's parse_expr; the LaTeX parser hands every number to that same parse_expr, which evaluates Python,
so here parse_expr is replaced by a reader of plain decimals. Beneath it lies an audit hook: whatever no
comparison needs (other evaluated text, files, processes, sockets ...) is refused and reported.
"""

import functools
import json
import os
import re
import signal
import sys
import time

MEMORY_BYTES = 256 * 2**20
PARSE_SECONDS = 0.4
COMPARE_SECONDS = 0.8
HARMLESS = frozenset(
    "import builtins.id marshal.loads os.listdir os.scandir sys._getframe sys._current_frames code.__new__"
    " function.__new__ object.__getattr__ object.__setattr__ object.__delattr__ array.__new__ gc.get_objects"
    " sys.unraisablehook cpython._PySys_ClearAuditHooks cpython.PyInterpreterState_Clear".split()
)
EVALUATION = frozenset({"compile", "exec"})
DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


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


def refuse_the_rest(say):
    """From here on this process and its children can compute, import installed modules and read them; all
    else raises and is told.
    """
    library = os.path.dirname(os.__file__) + os.sep
    parts = (
        library,
        *(os.path.join(os.path.abspath(path), "") for path in sys.path if path),
        sys.prefix + os.sep,
    )
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    sympy = sys.modules.get("sympy")
    evaluators = (os.path.join(os.path.dirname(sympy.__file__), "polys", "monomials.py"),) if sympy else ()
    first = os.getpid()

    def allowed(event, arguments):
        if event in EVALUATION:
            caller = sys._getframe(2).f_code.co_filename
            return (
                caller.startswith(("<frozen ", library))
                and "site-packages" not in caller
                or caller in evaluators
            )
        if event == "open":
            path, flags = arguments[0], arguments[2]
            return isinstance(path, str) and os.path.abspath(path).startswith(parts) and not flags & writing
        return event == "os.fork" and os.getpid() == first

    def hook(event, arguments):
        if event not in HARMLESS and not allowed(event, arguments):
            say({"denied": event})
            raise PermissionError(event)

    sys.dont_write_bytecode = True
    sys.addaudithook(hook)


def regex_service():
    def answer(say, pattern, text):
        limit_time(COMPARE_SECONDS)
        match = re.search(pattern, text)
        return None if match is None else match.group(1)

    return answer


def read_decimals_only():
    """Replace SymPy's parse_expr, which evaluates Python, by a reader of decimals, wherever it was
    imported.
    """
    from sympy import Float, Integer, SympifyError
    from sympy.parsing import sympy_parser

    def parse_decimal(text, *_, **__):
        if not DECIMAL.fullmatch(text.strip()):
            raise SympifyError("only decimals are read")
        text = text.strip()
        return Integer(int(text)) if text.lstrip("+-").isdigit() else Float(text)

    evaluated = sympy_parser.parse_expr, sympy_parser.eval_expr
    for module in list(sys.modules.values()):
        for name, value in (
            list(vars(module).items()) if isinstance(getattr(module, "__dict__", None), dict) else ()
        ):
            if any(value is one for one in evaluated):
                setattr(module, name, parse_decimal)


def math_service():
    import logging

    from latex2sympy2_extended import NormalizationConfig
    from math_verify import grader, parse, verify
    from math_verify.parser import LatexExtractionConfig

    logging.disable(logging.CRITICAL)
    config = [
        LatexExtractionConfig(
            normalization_config=NormalizationConfig(
                basic_latex=True,
                units=True,
                malformed_operators=True,
                nits=True,
                boxed="none",
                equations=False,
            )
        )
    ]

    solve = grader.solve

    def solve_or_raise(*arguments):
        """Without this, two equations that have no solution are the same: all of no solutions agree."""
        found = solve(*arguments)
        if not found:
            raise ValueError("no solution")
        return found

    def names_a_value(relation):
        """Whether x = 7 or f(x) = 7, which says 7; x + 1 = 8 does not say 8."""
        return grader.is_assignment_relation(relation) or bool(
            grader.is_equation(relation)
            and isinstance(type(grader.take_first_relation(relation).lhs), grader.UndefinedFunction)
        )

    def same(first, second):
        if first is None or second is None:
            return False
        one, other = grader.is_relation(first), grader.is_relation(second)
        if (
            one != other
            and not isinstance(second if one else first, grader.Set)
            and not names_a_value(first if one else second)
        ):
            return False
        return bool(
            verify(first, second, timeout_seconds=None) or verify(second, first, timeout_seconds=None)
        )

    @functools.lru_cache(maxsize=512)
    def read(text):
        """The expression that a text is, or None. A relation between numbers says what stands last: 2 + 3 = 5
        is 5.
        """
        parsed = (parse(f"${text}$", config, fallback_mode="no_fallback", parsing_timeout=None) or [None])[0]
        if parsed is not None and grader.is_relation(parsed) and not parsed.free_symbols:
            parsed = grader.take_last_relation(parsed).rhs if grader.is_equation(parsed) else None
        same(parsed, seven)
        return parsed

    def answer(say, first, second):
        parsed = []
        for name, text in (("first", first), ("second", second)):
            limit_time(PARSE_SECONDS)
            parsed.append(read(text))
            say({"stage": name})
        limit_time(COMPARE_SECONDS)
        return same(*parsed)

    grader.solve = solve_or_raise
    seven = parse("$7$", config, fallback_mode="no_fallback", parsing_timeout=None)[0]
    # What is loaded here is loaded for every child, and SymPy's own modules still read names by parse_expr
    # while they load.
    for first, second in (
        (r"\frac{\sqrt{3}}{2}+x", r"(1, \frac{\pi}{2}]"),
        (r"\sin^2 x+1.5", r"\{1,2\}"),
        ("y=2x+3", "x > 4"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"1\pm i"),
    ):
        try:
            answer(lambda message: None, first, second)
        finally:
            limit_time(0)
    read_decimals_only()
    read.cache_clear()
    return answer


def serve(answer, say):
    for line in sys.stdin.buffer:
        number, *request = json.loads(line)
        start = time.process_time()
        try:
            result = answer(lambda message, number=number: say({"id": number, **message}), *request)
        except MemoryError:
            os._exit(1)
        except Exception:
            result = None
        limit_time(0)
        say({"id": number, "result": result, "seconds": time.process_time() - start})


def serve_in_children(answer, say):
    """Fork a child that serves; when a request ends it, say so and fork the next."""
    while True:
        child = os.fork()
        if child == 0:
            serve(answer, say)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return
        say({"died": True})


def main():
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def say(message):
        out.write(json.dumps(message).encode() + b"\n")

    answer = {"math": math_service, "regex": regex_service}[sys.argv[1]]()
    limit_memory()
    refuse_the_rest(say)
    say("ready")
    (serve_in_children if hasattr(os, "fork") else serve)(answer, say)


if __name__ == "__main__":
    main()
