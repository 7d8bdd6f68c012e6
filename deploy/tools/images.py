"""Checks and writes the digests of the third-party images that this checkout names.

A tag can move to another image, a digest cannot. `make image` rejects a base image without a digest.
`make pin-images` reads the current digest of each tag from its registry, through docker, and writes it into the file
that names the tag.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
BASE = "deploy/Dockerfile"
"""The file that names the base image of the product."""
FILES = {
    BASE: re.compile(r"^ARG BASE=(?P<image>\S+)$", re.MULTILINE),
    "deploy/kind/up.sh": re.compile(r"^registry_image=(?P<image>\S+)$", re.MULTILINE),
    "charts/orderfleet-dev/values.yaml": re.compile(r"^ +image: (?P<image>\S+)$", re.MULTILINE),
}
"""Files that name images, with a pattern for the names."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Image:
    """An image in a file."""

    file: str
    reference: str

    @property
    def tagged(self) -> str:
        """Name and tag."""
        return self.reference.partition("@")[0]

    @property
    def pinned(self) -> bool:
        """Whether the reference has a digest."""
        return _DIGEST.fullmatch(self.reference.partition("@")[2]) is not None


def images(checkout: Path = CHECKOUT) -> Iterator[Image]:
    """Every image in the files."""
    for file, named in FILES.items():
        for found in named.finditer((checkout / file).read_text()):
            yield Image(file, found["image"])


def pin(resolve: Callable[[str], str], checkout: Path = CHECKOUT) -> list[Image]:
    """Write the current digest of each tag; the images whose reference changed.

    Args:
        resolve: returns the digest of a name and tag.
        checkout: holds the files.

    Raises:
        ValueError: `resolve` returned no digest. No file has changed.
    """
    found = list(images(checkout))
    digests = {image.tagged: resolve(image.tagged) for image in found}
    for tagged, digest in digests.items():
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{tagged}: {digest!r} is no digest")
    for file, named in FILES.items():
        text = (checkout / file).read_text()

        def replaced(match: re.Match[str]) -> str:
            tagged = match["image"].partition("@")[0]
            return match[0].replace(match["image"], f"{tagged}@{digests[tagged]}")

        (checkout / file).write_text(named.sub(replaced, text))
    return [before for before, after in zip(found, images(checkout), strict=True) if before != after]


def read_digest(tagged: str) -> str:
    """The registry's digest of a name and tag: of the image index, if there is one."""
    command = ["docker", "buildx", "imagetools", "inspect", tagged, "--format", "{{.Manifest.Digest}}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()  # noqa: S603


def main() -> int:
    """Check or pin the images; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["check", "pin"])
    parser.add_argument("--all", action="store_true", help="reject the development images too")
    options = parser.parse_args()
    if options.command == "pin":
        try:
            changed = pin(read_digest)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            reason = getattr(error, "stderr", None) or error
            sys.stderr.write(f"images: no file was changed: {str(reason).strip()}\n")
            return 1
        sys.stdout.write("".join(f"{image.file}: {image.tagged}\n" for image in changed) or "nothing has changed\n")
        return 0
    unpinned = [image for image in images() if not image.pinned and (options.all or image.file == BASE)]
    for image in unpinned:
        sys.stderr.write(f"images: {image.file}: {image.reference} has no digest; run `make pin-images`\n")
    return int(bool(unpinned))


if __name__ == "__main__":
    sys.exit(main())
