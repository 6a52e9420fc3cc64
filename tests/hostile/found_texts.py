"""What fuzzing and reading of the libraries' source found; each was a failure once."""

FOUND = []
