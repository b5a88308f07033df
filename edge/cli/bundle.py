"""edge-bundle: sign, verify and import bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.console import make_app, run, say
from edge.cli.import_anomalib import EPILOG as IMPORT_EPILOG
from edge.cli.import_anomalib import import_anomalib

EPILOG = """Examples:\n
  edge-bundle keygen --out quality.key\n
  edge-bundle sign bundles/housing --key quality.key --name "Quality, plant 4"\n
  edge-bundle verify bundles/housing --key quality.key.pub
"""
app = make_app()
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", show_default=False)]


@app.callback(epilog=EPILOG)
def bundle() -> None:
    """Sign a bundle with an Ed25519 key, and verify who signed one.

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


app.command("import-anomalib", epilog=IMPORT_EPILOG)(import_anomalib)


def main() -> None:
    """Entry point."""
    run(app)
