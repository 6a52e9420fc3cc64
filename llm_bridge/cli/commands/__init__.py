"""One module a command. `ORDER` places it in the help; `register(app)` adds it. Heavy imports happen inside
the command.
"""
