"""The one error a user's input can cause: it names the argument, its value, the rule and the usual fix."""


class InputError(ValueError):
    """Bad input, told in one paragraph: which argument, what it was, the rule it breaks, the usual fix."""

    def __init__(self, argument: str, value: object, rule: str, fix: str = ""):
        self.argument, self.value, self.rule, self.fix = argument, value, rule, fix
        try:
            shown = repr(value)
        except ValueError:  # Python writes no whole number of more than 4300 digits
            shown = f"a {type(value).__name__} that is too long to write"
        shown = shown if len(shown) <= 200 else shown[:197] + "..."
        super().__init__(
            f"`{argument}` is {shown}: {rule.rstrip('.')}." + (f" {fix.rstrip('.')}." if fix else "")
        )

    def __reduce__(self):
        return type(self), (self.argument, self.value, self.rule, self.fix)
