"""`make mutants`: deliberate errors, in theorems and in source code, and whether a test notices each."""
