"""The command line: one thin module a verb, imported only when that verb is used.

Exit codes: 0 done, 1 failure, 2 wrong usage, 3 a check found the data or submission unfit, 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Sequence

import click

from fedmeki_bench import __version__
from fedmeki_bench.errors import BenchError, did_you_mean

__all__ = ["main"]

VERBS = {
    "tasks": ("tasks", "List, show and validate the task specifications."),
    "data": ("data", "Simulate, prepare, audit and list the data."),
    "run": ("run", "Train and evaluate a method: clients, injection, answers, scores, tables."),
    "score": ("score", "Score a prediction file."),
    "compare": ("compare", "Compare two runs or prediction files with paired tests."),
    "power": ("power", "What difference a test set of this size can show."),
    "audit-published": ("audit_published", "Check printed result tables for what must hold."),
    "plan": ("plan", "Parameters, traffic, memory and time of a run, without weights."),
    "methods": ("methods", "List, create and test methods (plug-ins)."),
    "submit": ("submit", "Make a submission bundle from finished runs."),
    "check": ("check", "Re-score submission bundles and report every fault."),
    "leaderboard": ("leaderboard", "Build the leaderboard from bundles."),
}
"""Verb: (module under `fedmeki_bench.cli` that defines `command`, one-line help). Help needs no import of either."""


class LazyGroup(click.Group):
    """Lists every verb without importing any; imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs in the order of a user's work, not of the alphabet."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the verb's command; an unknown verb is a usage error with close matches."""
        if cmd_name not in VERBS:
            raise click.UsageError(f"unknown command {cmd_name!r}; {did_you_mean(cmd_name, VERBS)}", ctx)
        command = importlib.import_module(f"fedmeki_bench.cli.{VERBS[cmd_name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with their one-line help."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with:  fedmeki-bench run --method fedkim",
)
@click.version_option(__version__, prog_name="fedmeki-bench")
@click.option("--debug", is_flag=True, help="Show the full traceback of an error.")
def cli(debug: bool) -> None:
    """Benchmark for federated medical knowledge injection into language models."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code; errors print one message, no traceback unless `--debug`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    # --debug is accepted anywhere on the line, as people add it at the end of a command that failed.
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        cli.main(arguments, prog_name="fedmeki-bench", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BenchError as error:
        if debug:
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of a pipe (`| head`) went away: nothing is wrong and nobody is left to tell.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if debug or error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
            raise
        click.echo(
            f"error: {error.strerror}\n  where: {error.filename}\n  to do: free space or choose another folder",
            err=True,
        )
        sys.exit(1)
