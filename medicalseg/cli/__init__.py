"""The command line: `medicalseg VERB …` and `python tools/VERB.py …` are the same code.

A verb is a module here with `HELP`, `add_arguments(parser)` and `run(args)`; `run` returns an exit code or None for 0.
"""

from medicalseg.cli.main import main, run_verb

__all__ = ["main", "run_verb"]
