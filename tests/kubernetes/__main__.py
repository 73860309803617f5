"""`make kubernetes`: checks the manifests and the Helm chart. No cluster is needed."""

import sys

import chart
import manifests


def main():
    found, count = manifests.check()
    chart_found, renderings, objects = chart.check(manifests.with_component)
    if problems := found + chart_found:
        sys.exit("\n".join(problems[:40]))
    print(f"{count} objects of the manifests and {objects} of {renderings} renderings of the chart"
          " are as Istio 1.31, Kubernetes 1.37 and the Prometheus operator 0.93 want them")


if __name__ == "__main__":
    main()
