"""The worker process of guard.py: reads one JSON request a line, answers JSON lines. Run as a script, never
imported.

The process loads its libraries once and then only forks. For comparisons each request has a child of its own,
so that it starts from the same state whatever was asked before; regular expressions share a child until one
ends it. The next child is there within milliseconds. Limits of a child: FAST_SECONDS of processor time, and
when a request needs more, asked again, a number of calls of Python functions for each stage, counted, with a
processor time well above them as a backstop, set as an interval timer whose signal ends the process even inside
C code; 256 MB beyond the size after start; nothing can be written to files.

Text is never evaluated as Python code. math-verify's LaTeX parser is used, not its expression parser, which
calls SymPy's parse_expr; the LaTeX parser hands every number to that same parse_expr, which evaluates Python,
so here parse_expr is replaced by a reader of plain decimals. Beneath it lies an audit hook: whatever no
comparison needs (other evaluated text, files, processes, sockets ...) is refused and reported.
"""

import gc
import json
import os
import random
import re
import signal
import sys
import time

MEMORY_BYTES = 256 * 2**20
FAST_SECONDS = 0.06
PARSE_SECONDS = 0.35
COMPARE_SECONDS = 0.8
PARSE_CALLS = 200_000
COMPARE_CALLS = 400_000
"""Calls of Python functions that each stage may make: 0.15 and 0.3 s where a counted call costs 0.7 µs. Python
makes far fewer within FAST_SECONDS, so what is answered without counting would be allowed with it.
"""
REGEX_SECONDS = 0.8
LARGEST_EXPONENT, LARGEST_INNER = 10_000, 30
OVERSTEPPED, SERVED = 3, 4
HARMLESS = frozenset(
    "import builtins.id marshal.loads os.listdir os.scandir sys._getframe sys._current_frames code.__new__"
    " function.__new__ object.__getattr__ object.__setattr__ object.__delattr__ array.__new__ gc.get_objects"
    " sys.settrace sys.unraisablehook cpython._PySys_ClearAuditHooks cpython.PyInterpreterState_Clear".split()
)
EVALUATION = frozenset({"compile", "exec"})
WARM = (
    (r"\frac{\sqrt{3}}{2}+x", r"(1, \frac{\pi}{2}]"),
    (r"\sin^2 x+1.5", r"\{1,2\}"),
    ("y=2x+3", "x > 4"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"1\pm i"),
    (r"\cos 2x+\log_2 8", r"(1-2\sin^{2} x)^{3}"),
    (r"\sqrt[3]{x^2}+e^{x-1}-|x|", r"\left|x\right|+\tan 3x \cdot \cot x"),
    (r"\begin{pmatrix}1&2\\-3/5&4\end{pmatrix}", r"\begin{pmatrix}1&0.2\\3&5\end{pmatrix}"),
    (r"\{1,-2,\frac{3}{7}\}", r"\{3,\sqrt{2}\}"),
    (r"x \in [-2,7)", r"(-\infty,2)\cup(3,\infty)"),
    (r"\frac{4x-4x^3}{1-6x^2+x^{14}}", r"(x-1)(x^{12}+1)+y"),
    (r"16\sin^5 x-20\cos^3 x+5", "9^{9^{2}}-7!"),
    (r"\ln(x+1)-\binom{5}{2}", "((1+x)(2))/3"),
    (r"a_1+b_{2}=5,\ x\le 3", "1,-2,x"),
    (r"f(x)=\frac{1}{2}x^2-3", r"\arcsin\frac{1}{3}+2\pi n"),
)
"""Compared once before any request: what is loaded and remembered here is there for every child, and SymPy's own
modules still read names by parse_expr while they load.
"""
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


def limit_calls(calls):
    """End the process after so many calls of Python functions from here on."""
    left = calls

    def count(*_):
        nonlocal left
        left -= 1
        if left < 0:
            os._exit(OVERSTEPPED)

    sys.settrace(count)


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
    home = sympy.__file__ if sympy else None
    evaluators = (os.path.join(os.path.dirname(home), "polys", "monomials.py"),) if home else ()
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
    def answer(say, counted, pattern, text):
        limit_time(REGEX_SECONDS)
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
    from sympy import Pow, binomial, factorial
    from sympy.core import random as sympy_random

    logging.disable(logging.CRITICAL)
    config = [
        LatexExtractionConfig(
            normalization_config=NormalizationConfig(
                basic_latex=True,
                units=False,
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

    def too_large(expression):
        """Whether an exponent or a factorial is beyond what one call of C code computes at once: such a call is
        no counted work.
        """
        stack = [expression]
        while stack:
            one = stack.pop()
            arguments = getattr(one, "args", ())
            if isinstance(one, Pow) and one.base.is_number and one.exp.is_number and huge(one.exp):
                return True
            if isinstance(one, (factorial, binomial)) and any(map(huge, arguments)):
                return True
            stack.extend(arguments if isinstance(arguments, tuple) else ())
        return False

    def huge(number):
        """Beyond LARGEST_EXPONENT, or itself a power or factorial of more than small whole numbers."""
        inner = number.atoms(Pow, factorial)
        parts = [part for one in inner for part in one.args]
        return bool(number.is_Rational and abs(number) > LARGEST_EXPONENT) or any(
            not part.is_Rational or abs(part) > LARGEST_INNER for part in parts
        )

    def read(text):
        """The expression that a text is, or None. A relation between numbers says what stands last: 2 + 3 = 5
        is 5.
        """
        parsed = (parse(f"${text}$", config, fallback_mode="no_fallback", parsing_timeout=None) or [None])[0]
        if too_large(parsed):
            os._exit(OVERSTEPPED)
        if parsed is not None and grader.is_relation(parsed) and not parsed.free_symbols:
            parsed = grader.take_last_relation(parsed).rhs if grader.is_equation(parsed) else None
        return parsed

    def answer(say, counted, first, second):
        parsed = []
        if counted is False:
            limit_time(FAST_SECONDS)
        for name, text in (("first", first), ("second", second)):
            if counted:
                limit_time(PARSE_SECONDS)
                limit_calls(PARSE_CALLS)
            parsed.append(read(text))
            if counted:
                say({"stage": name})
        if counted:
            limit_time(COMPARE_SECONDS)
            limit_calls(COMPARE_CALLS)
        return same(*parsed)

    grader.solve = solve_or_raise
    for first, second in WARM:
        try:
            answer(lambda message: None, None, first, second)
        except ValueError:
            continue
    read_decimals_only()
    gc.collect()
    gc.freeze()
    random.seed(0)
    sympy_random.seed(0)
    return answer


def serve(answer, say, requests=None):
    """Answer requests, at most so many; None: until there are none."""
    while requests is None or requests > 0:
        line = sys.stdin.buffer.readline()
        if not line:
            os._exit(0)
        number, counted, *request = json.loads(line)
        say({"id": number, "taken": True})
        start = time.process_time()
        try:
            result = answer(lambda message, number=number: say({"id": number, **message}), counted, *request)
        except MemoryError:
            os._exit(OVERSTEPPED)
        except Exception:
            result = None
        sys.settrace(None)
        limit_time(0)
        say({"id": number, "result": result, "seconds": time.process_time() - start})
        requests = None if requests is None else requests - 1
    os._exit(SERVED)


def serve_in_children(answer, say, kind):
    """Fork a child that serves; when it has, or a request ends it, fork the next, and say how it ended."""
    own = dict.fromkeys((OVERSTEPPED, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS), "limit")
    while True:
        before = spent_in_children()
        child = os.fork()
        if child == 0:
            serve(answer, say, 1 if kind == "math" else None)
        status = os.waitpid(child, 0)[1]
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return
        if code == SERVED:
            continue

        how = own.get(code) or ("time" if code == -signal.SIGPROF else "lost")
        say({"died": how, "seconds": spent_in_children() - before})


def spent_in_children():
    spent = os.times()
    return spent.children_user + spent.children_system


def main():
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def say(message):
        out.write(json.dumps(message).encode() + b"\n")

    answer = {"math": math_service, "regex": regex_service}[sys.argv[1]]()
    limit_memory()
    refuse_the_rest(say)
    say("ready")
    serve_in_children(answer, say, sys.argv[1]) if hasattr(os, "fork") else serve(answer, say)


if __name__ == "__main__":
    main()
