"""`fedmeki-bench methods`: list, create and test methods."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fedmeki_bench.cli.options import method_options
from fedmeki_bench.errors import CheckFailed

__all__ = ["command"]

EPILOG = """Examples:

\b
  fedmeki-bench methods ls
  fedmeki-bench methods new demo
  fedmeki-bench methods new mine --package
  fedmeki-bench methods test demo
  fedmeki-bench methods test fedkim --set rank=4 --check "batch invariance"
"""


@click.group(epilog=EPILOG)
def command() -> None:
    """List, create and test methods (plug-ins)."""


@command.command("ls")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
def list_all(as_json: bool) -> None:
    """Show built-in methods, configurations of them, and installed plug-ins; broken ones are named."""
    from dataclasses import asdict

    from tabulate import tabulate

    from fedmeki_bench.methods import list_methods

    listings = list_methods()
    if as_json:
        click.echo(json.dumps([asdict(listing) for listing in listings], indent=1))
        return
    rows = [[one.name, one.kind, "broken" if one.fault else "ok", one.origin] for one in listings]
    click.echo(tabulate(rows, headers=["method", "kind", "", "origin"]))
    for one in listings:
        if one.fault:
            click.echo(
                f"\n{one.name} cannot be used: {one.fault}\n  to do: mend or uninstall the package of {one.origin}"
            )


@command.command("new")
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write.  [default: submissions/NAME; ./NAME for a package]"
)
@click.option("--package", is_flag=True, help="An installable package with an entry point, not a plain folder.")
def new(name: str, out: Path | None, package: bool) -> None:
    """Write a small working plug-in called NAME: method, option schema, test, README."""
    from fedmeki_bench.methods.scaffold import new_plugin

    written = new_plugin(name, out, package=package)
    for path in written.files:
        click.echo(path)
    click.echo(f"next: {written.next_step}")


@command.command("test")
@click.argument("target", metavar="PATH|NAME")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="An option of the method; repeat for more.")
@click.option("--check", "names", multiple=True, metavar="CHECK", help="Only this check; repeat for more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of text.")
def test(target: str, pairs: tuple[str, ...], names: tuple[str, ...], as_json: bool) -> None:
    """Run the conformance suite on a method: ten findings, each with what to do, in about a minute.

    The tiny random model and invented inputs are used; no data and no network. Exit code 3 if a check fails.
    """
    import warnings
    from dataclasses import asdict

    from fedmeki_bench.methods import load_method
    from fedmeki_bench.methods.conformance import CHECKS, run_conformance

    options = method_options(pairs)
    # Once before the suite: an unknown name or a wrong option is the user's slip, not a finding.
    load_method(target, options)
    findings = []
    with warnings.catch_warnings():
        # Deprecations inside the libraries are no business of a method's author.
        warnings.simplefilter("ignore", FutureWarning)
        for finding in run_conformance(lambda: load_method(target, options), names or CHECKS):
            findings.append(finding)
            if not as_json:
                click.echo(finding.render())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    failed = [finding.name for finding in findings if not finding.passed]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}", where=target)
    if not as_json:
        click.echo(f"all {len(findings)} checks passed")
