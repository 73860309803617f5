{{- range .Values.externalHosts }}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: {{ .name }}
  namespace: {{ include "session-guard.filterNamespace" $ }}
  labels: {{- include "session-guard.labels" $ | nindent 4 }}
spec:
  hosts: [{{ .host }}]
  location: MESH_EXTERNAL
  resolution: DNS
  # Not HTTPS: the DestinationRule below adds TLS, and with HTTPS it would be applied twice.
  ports: [{ number: {{ .port | default 443 }}, name: http, protocol: HTTP }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {{ .name }}
  namespace: {{ include "session-guard.filterNamespace" $ }}
  labels: {{- include "session-guard.labels" $ | nindent 4 }}
spec:
  host: {{ .host }}
  trafficPolicy:
    # If `sni` is set, Istio checks the name in the certificate only if `subjectAltNames` is set, too.
    tls: { mode: SIMPLE, sni: {{ .host }}, subjectAltNames: [{{ .host }}] }
    connectionPool: { tcp: { tcpKeepalive: { time: 10s, interval: 5s, probes: 3 } } }
{{- end }}
