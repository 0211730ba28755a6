"""`standing bundle SUBJECT --out FILE`: one self-contained proof of a whole answer."""

from pathlib import Path
from typing import Annotated

import typer

from node.cli.output import fail, print_json, stdout
from node.cli.target import (
    NODE_URL,
    JsonOption,
    NodeOption,
    SizeOption,
    TokenFileOption,
    ask,
    at_size,
)

app = typer.Typer(add_completion=False)


@app.command()
def bundle(
    subject: Annotated[str, typer.Argument(help="platform:handle; number or code, 64 hex digits.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    domain: Annotated[str, typer.Option(help="A domain code; without it, all work.")] = "",
    role: Annotated[str, typer.Option(help="worker or client")] = "worker",
    size: SizeOption = None,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the proof of a subject's score: every record, every link, the seal, the quorum.

    Check it with `standing verify FILE --policy POLICY`, offline.
    """
    query = {"role": role, **({"domain": domain} if domain else {}), **at_size(size)}
    data = ask(node, token_file, lambda client: client.bundle(subject, **query))
    try:
        out.write_bytes(data)
    except OSError as error:
        fail(f"{out} cannot be written: {error}")
    if as_json:
        print_json({"subject": subject, "bundle": str(out), "bytes": len(data)})
    else:
        stdout.print(
            f"{out}: {len(data)} bytes; check it: standing verify {out} --policy POLICY",
            soft_wrap=True,
        )
