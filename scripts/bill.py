#!/usr/bin/env python3
"""Writes what an image is made of, as a CycloneDX bill of materials, for who must know whether a flaw concerns them.

Called by scripts/image.sh with the package database of the image, Cargo.lock, the models that come along and what tells of the packages
that were unpacked and not installed: Debian's, and vendors'.
"""

import argparse
import hashlib
import json
import sys
import tomllib
import uuid
from datetime import datetime, timezone
from pathlib import Path


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


def unpacked(about):
    """What is unpacked and not installed, in the same words; those of a vendor say which, and need not be packages or have a version."""
    fields = dict(line.split(": ", 1) for line in about.read_text(encoding="utf-8").splitlines() if ": " in line)
    if "Architecture" in fields:
        kind, rest = "deb/" + fields.get("Vendor", "debian"), f"?arch={fields['Architecture']}"
    else:
        kind, rest = "generic/" + fields["Vendor"], ""
    found = component(kind, fields["Package"], fields.get("Version"), rest)
    return with_sum(found, fields["Sha256"]) if "Sha256" in fields else found


def models(folder):
    """Those of the manifest that lie beside it."""
    for model in tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))["model"]:
        first = folder / model["id"] / model["files"][0]["name"]
        if first.exists():
            found = component("generic", model["id"], None, "") | {"type": "machine-learning-model"}
            found["licenses"] = [{"license": {"id": model["license"]}}]
            yield with_sum(found, hashlib.sha256(first.read_bytes()).hexdigest())


def crates(lock):
    for package in tomllib.load(open(lock, "rb"))["package"]:
        if "source" in package:
            found = component("cargo", package["name"], package["version"], "")
            yield with_sum(found, package["checksum"]) if "checksum" in package else found


def component(kind, name, version, rest):
    url = f"pkg:{kind}/{name}" + (f"@{version}" if version else "") + rest
    known = {"version": version} if version else {}
    return {"type": "library", "bom-ref": url, "name": name, **known, "purl": url}


def with_sum(found, sha256):
    return found | {"hashes": [{"alg": "SHA-256", "content": sha256}]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("dpkg-status", "cargo-lock", "onnxruntime", "name", "version", "epoch"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--about", type=Path, required=True, help="tells of the kernel")
    parser.add_argument("--parts", type=Path, nargs="+", required=True, help="folders of files that tell of what else was unpacked")
    parser.add_argument("--models", type=Path, required=True)
    args = parser.parse_args()
    abouts = [args.about, *(file for folder in args.parts for file in sorted(folder.iterdir()))]
    parts = [*debian(args.dpkg_status), *map(unpacked, abouts), *crates(args.cargo_lock), *models(args.models)]
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
