"""Checks that the repository can be released: tests/release/check.py WHAT …

    pins                  every action of a workflow is pinned by its commit, and the list of base images is
                          complete; `make release-check` runs this
    images                every base image has a digest
    version VERSION       the crates, the chart and the manifests name this version
    changelog VERSION     CHANGELOG.md has a section for it
    files VERSION FOLDER  the files have the names and the formats that docs/releases.md states
"""

import json
import re
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COMMIT = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def read(name):
    return (ROOT / name).read_text()


def base_images():
    lines = [line.split() for line in read("setup/base-images.txt").splitlines()]
    return {line[0]: line[1] for line in lines if line[0] != "#"}


def pins():
    for workflow in sorted((ROOT / ".github/workflows").glob("*.y*ml")):
        for used in re.findall(r"uses:\s*(.+)", workflow.read_text()):
            if not COMMIT.fullmatch(used):
                yield f"{workflow.name}: pin {used} by the commit of its tag: OWNER/NAME@COMMIT # vN.N.N"
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", read("Dockerfile"), re.M))
    bases = set(re.findall(r"^FROM (\S+)", read("Dockerfile"), re.M)) - stages
    if bases != set(base_images()):
        yield f"setup/base-images.txt lists {sorted(base_images())}, the Dockerfile uses {sorted(bases)}"
    for name, digest in base_images().items():
        if digest != "unknown" and not DIGEST.fullmatch(digest):
            yield f"setup/base-images.txt: {name}: {digest} is no digest"


def images():
    for name, digest in base_images().items():
        if not DIGEST.fullmatch(digest):
            yield f"setup/base-images.txt: {name} has no digest: run setup/base-images.sh and review its change"


def version(wanted):
    found = re.search(r'^version = "(.+)"$', read("Cargo.toml"), re.M)[1]
    if found != wanted:
        yield f"Cargo.toml has version {found}, not {wanted}"
    chart = read("charts/session-guard/Chart.yaml")
    for field in ["version", "appVersion"]:
        found = re.search(rf"^{field}: (.+)$", chart, re.M)[1]
        if found != wanted:
            yield f"Chart.yaml: {field} is {found}, not {wanted}"
    for manifest in sorted((ROOT / "envoy").rglob("*.yaml")):
        for image in re.findall(r"registry\.example\.com/session-guard/\S+?:([\w.-]+)", manifest.read_text()):
            if image != wanted:
                yield f"{manifest.relative_to(ROOT)} names an image with version {image}, not {wanted}"


def changelog(wanted):
    if not re.search(rf"^## \[{re.escape(wanted)}\] - \d{{4}}-\d\d-\d\d$", read("CHANGELOG.md"), re.M):
        yield f"CHANGELOG.md has no section `## [{wanted}] - DATE`"


def files(wanted, folder):
    known = {
        f"session_guard-{wanted}.wasm": lambda path: path.read_bytes()[:4] == b"\0asm",
        f"session_guard-{wanted}-oci.tar": lambda path: "./oci-layout" in tarfile.open(path).getnames(),
        f"session-guard-{wanted}.tgz": lambda path:
            "session-guard/values.schema.json" in tarfile.open(path).getnames(),
    }
    for architecture in ["x86_64", "arm64"]:
        is_program = lambda path: path.read_bytes()[:4] == b"\x7fELF"
        known[f"libsession_guard_native-{wanted}-linux-{architecture}.so"] = is_program
        known[f"signout-{wanted}-linux-{architecture}"] = is_program
    for program in ["session_guard", "libsession_guard_native", "signout"]:
        known[f"{program}-{wanted}.cdx.json"] = lambda path: is_sbom(path, wanted)
    for path in sorted(Path(folder).iterdir()):
        if path.name not in known:
            yield f"{path.name}: docs/releases.md knows no such file"
        elif not known[path.name](path):
            yield f"{path.name} does not have the format of its name"
    for name in known:
        stated = name.replace(wanted, "VERSION").replace("x86_64", "ARCH").replace("arm64", "ARCH")
        if f"`{stated}`" not in read("docs/releases.md"):
            yield f"docs/releases.md does not state {stated}"


def is_sbom(path, wanted):
    """CycloneDX of this version, with the components of its lock file and their checksums or sources."""
    bom = json.loads(path.read_text())
    subject = bom["metadata"]["component"]
    purls = [component["purl"] for component in bom["components"]]
    names_this_machine = str(ROOT) in path.read_text()
    return (bom["bomFormat"], subject["version"]) == ("CycloneDX", wanted) and len(purls) > 10 \
        and not names_this_machine


def main():
    name, *arguments = sys.argv[1:]
    checks = {one.__name__: one for one in [pins, images, version, changelog, files]}
    problems = list(checks[name](*arguments))
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
