"""edge-bundle: sign, verify, install and import bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.console import make_app, run, say, say_next
from edge.cli.import_anomalib import EPILOG as IMPORT_EPILOG
from edge.cli.import_anomalib import import_anomalib

if TYPE_CHECKING:
    from edge.bundle.installed import InstalledBundles

EPILOG = """Examples:\n
  edge-bundle keygen --out quality.key\n
  edge-bundle sign bundles/housing --key quality.key --name "Quality, plant 4"\n
  edge-bundle verify bundles/housing --key quality.key.pub\n
  edge-bundle install bundles/housing --into /var/lib/edge-infer/housing --station station.yaml\n
  edge-bundle rollback /var/lib/edge-infer/housing
"""
app = make_app()
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", show_default=False)]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="of the installed bundles", show_default=False)
]
StationFile = Annotated[
    Path | None,
    typer.Option(
        "--station", metavar="FILE", help="station file: its trust and engine hold",
        show_default=False,
    ),
]  # fmt: skip
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key", metavar="KEY", help="public key that must have signed: a file, PEM or base64; may "
        "be repeated", show_default=False,
    ),
]  # fmt: skip
By = Annotated[
    str | None, typer.Option(metavar="WHO", help="for the audit; default user and computer")
]


@app.callback(epilog=EPILOG)
def bundle() -> None:
    """Sign a bundle with an Ed25519 key, verify who signed one, and install it on a station.

    A station runs signed bundles only where its file says so: trust.require_signature with
    trust.public_keys.
    """


@app.command(epilog=EPILOG)
def keygen(
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="private key to write", show_default=False)
    ],
) -> None:
    """Make a key pair: FILE, which only its owner can read, and FILE.pub for stations."""
    from edge.cli.signing_keys import write_key_pair

    public, name = write_key_pair(out)
    say(f"{out}: private key, keep it off the stations")
    say(f"{public}: public key {name}, for trust.public_keys of station files")
    say_next("edge-bundle", "sign", "BUNDLE", "--key", out)


@app.command(epilog=EPILOG)
def sign(
    bundle: Bundle,
    key: Annotated[
        Path, typer.Option(metavar="FILE", help="private key, from keygen", show_default=False)
    ],
    name: Annotated[str, typer.Option(metavar="WHO", help="who signs, for results")] = "",
) -> None:
    """Sign a bundle that is whole: writes signature.json beside bundle.json."""
    from datetime import datetime, timezone

    from edge.atomic_file import write_text
    from edge.bundle.manifest import MANIFEST, SIGNATURE
    from edge.bundle.signature import make_signature
    from edge.bundle.store import open_bundle
    from edge.cli.signing_keys import read_private_key

    private, opened = read_private_key(key), open_bundle(bundle)
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    manifest = opened.manifest_bytes()
    try:
        made = make_signature(private, manifest, name, when)
    except ValueError:
        raise typer.BadParameter("--name: expected one line of printable words") from None
    text = made.model_dump_json(indent=2, by_alias=True)
    write_text(opened.folder / SIGNATURE, text + "\n")
    say(f"{bundle}: {MANIFEST} {opened.id[:12]} signed by {made.signer}, key {made.key_id}")
    say_next("edge-bundle", "verify", bundle, "--key", "PUBLIC_KEY")


@app.command(epilog=EPILOG)
def verify(
    bundle: Bundle,
    key: Annotated[
        list[str],
        typer.Option(
            metavar="KEY", help="public key: a file, PEM or base64; may be repeated",
            show_default=False,
        ),
    ],
) -> None:  # fmt: skip
    """Verify every file of a bundle, and its signature by one of the public keys."""
    from edge.bundle.signature import Trust, key_id, public_key, read_signature
    from edge.bundle.store import open_bundle

    keys = [public_key(one) for one in key]
    opened = open_bundle(bundle, Trust(is_required=True, keys={key_id(one): one for one in keys}))
    found = read_signature(opened.folder)
    say(
        f"{bundle}: {opened.manifest.name} {opened.manifest.version} ({opened.id[:12]}) is whole, "
        f"signed by {opened.signed_by}, key {found.key_id}, {found.when}"
    )
    say_next("edge-bundle", "install", bundle, "--into", "DIR", "--station", "STATION.yaml")


@app.command(epilog=EPILOG)
def install(
    bundle: Bundle,
    into: Annotated[
        Path, typer.Option(metavar="DIR", help="folder of the installed bundles; stations name "
                           "DIR/current as their bundle", show_default=False),
    ],
    station: StationFile = None,
    key: Keys = None,
    stage: Annotated[bool, typer.Option("--stage", help="leave the switch to `activate`")] = False,
    by: By = None,
) -> None:  # fmt: skip
    """Copy a bundle into DIR, verify it, judge its golden pictures, and make it the current one.

    Whatever goes wrong or interrupts it, the bundle before stays the current one. It is kept for
    `rollback`; older ones are removed. A running station takes the new one by prepare_recipe.
    """
    opened = _installed(into, station, key, by).install(bundle, activate=not stage)
    done = "is staged" if stage else "is current"
    say(f"{into}: {opened.manifest.name} {opened.manifest.version} ({opened.id[:12]}) {done}")
    if stage:
        say_next("edge-bundle", "activate", into, opened.id[:12])
    else:
        say_next("edge-infer", station or "STATION.yaml", "--check")


@app.command(epilog=EPILOG)
def activate(
    folder: Folder,
    bundle: Annotated[
        str, typer.Argument(metavar="ID", help="first digits, from list", show_default=False)
    ],
    station: StationFile = None,
    key: Keys = None,
    by: By = None,
) -> None:
    """Make an installed bundle the current one, after it has judged its golden pictures."""
    opened = _installed(folder, station, key, by).activate(bundle)
    say(f"{folder}: {opened.manifest.name} {opened.manifest.version} ({opened.id[:12]}) is current")


@app.command(epilog=EPILOG)
def rollback(folder: Folder, station: StationFile = None, key: Keys = None, by: By = None) -> None:
    """Make the bundle before the current one again; once more goes forward again."""
    opened = _installed(folder, station, key, by).rollback()
    say(f"{folder}: {opened.manifest.name} {opened.manifest.version} ({opened.id[:12]}) is current")


@app.command("list", epilog=EPILOG)
def list_(folder: Folder, station: StationFile = None, key: Keys = None) -> None:
    """List the installed bundles; exit code 3 where one is damaged or not signed as it must be."""
    from edge.bundle.installed import list_installed
    from edge.cli.installing import read_demands
    from edge.errors import BundleError

    found = list_installed(folder, read_demands(station, key or []).trust)
    for one in found:
        role = "current" if one.is_current else "previous" if one.is_previous else "staged"
        if one.bundle is None:
            say(f"{one.key}  {role:8}  {one.problem}")
            continue
        manifest = one.bundle.manifest
        signed = f", signed by {one.bundle.signed_by}" if one.bundle.signed_by else ""
        say(f"{one.key}  {role:8}  {manifest.name} {manifest.version}{signed}")
    damaged = [one.key for one in found if one.bundle is None]
    if damaged:
        raise BundleError(f"{folder}: not to be used: {', '.join(damaged)}; install again")


app.command("import-anomalib", epilog=IMPORT_EPILOG)(import_anomalib)


def _installed(
    folder: Path, station: Path | None, keys: list[str] | None, by: str | None
) -> InstalledBundles:
    from edge.bundle.installed import InstalledBundles
    from edge.cli.installing import read_demands
    from edge.cli.who import who

    demands = read_demands(station, keys or [])
    return InstalledBundles(folder, demands.trust, demands.prove, by or who())


def main() -> None:
    """Entry point."""
    run(app)
