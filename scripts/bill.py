#!/usr/bin/env python3
"""Writes what an image is made of, as a CycloneDX bill of materials, for who must know whether a flaw concerns them.

Called by scripts/image.sh with the package database of the image, Cargo.lock and the names of what came from elsewhere.
"""

import argparse
import hashlib
import json
import sys
import tomllib
import uuid
from datetime import datetime, timezone


def debian(status):
    """Components of a dpkg database: name, version, architecture, source."""
    for stanza in open(status, encoding="utf-8").read().split("\n\n"):
        fields = {}
        for line in stanza.splitlines():
            name, colon, value = line.partition(": ")
            if colon and not line.startswith(" "):
                fields[name] = value
        if fields.get("Status") == "install ok installed":
            yield component("deb/debian", fields["Package"], fields["Version"], f"?arch={fields['Architecture']}")


def kernel(about):
    """The kernel, which is unpacked and not installed, in the same words."""
    fields = dict(line.split(": ", 1) for line in open(about, encoding="utf-8").read().splitlines() if ": " in line)
    yield component("deb/debian", fields["Package"], fields["Version"], "?arch=arm64")


def crates(lock):
    for package in tomllib.load(open(lock, "rb"))["package"]:
        if "source" in package:
            found = component("cargo", package["name"], package["version"], "")
            if "checksum" in package:
                found["hashes"] = [{"alg": "SHA-256", "content": package["checksum"]}]
            yield found


def component(kind, name, version, rest):
    url = f"pkg:{kind}/{name}@{version}{rest}"
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("dpkg-status", "cargo-lock", "about", "onnxruntime", "name", "version", "epoch"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    parts = [*debian(args.dpkg_status), *kernel(args.about), *crates(args.cargo_lock)]
    parts.append(component("pypi", "onnxruntime", args.onnxruntime, ""))
    unique = {part["bom-ref"]: part for part in parts}
    components = [unique[reference] for reference in sorted(unique)]
    digest = hashlib.sha256(json.dumps([args.name, components]).encode()).digest()
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # Of the contents, so that the same image has the same bill.
        "serialNumber": uuid.UUID(bytes=digest[:16], version=4).urn,
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(int(args.epoch), timezone.utc).isoformat(),
            "component": {"type": "operating-system", "name": args.name, "version": args.version},
        },
        "components": components,
    }
    json.dump(bill, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
