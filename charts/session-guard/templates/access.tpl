{{- $service := .Values.service }}
{{- $access := include "session-guard.access" . }}
{{- if and $service.enabled (eq $access "AuthorizationPolicy") }}
{{- if empty $service.clients.principals }}
{{- fail "service.clients.principals: name the identities of the proxies that may call the service; an empty list would admit every workload of the mesh" }}
{{- end }}
# The signout service speaks plain HTTP. The mesh adds TLS and authenticates the callers.
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: {{ $service.name }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "session-guard.labels" . | nindent 4 }}
spec:
  selector: { matchLabels: { app: {{ $service.name }} } }
  mtls: { mode: STRICT }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: {{ $service.name }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "session-guard.labels" . | nindent 4 }}
spec:
  selector: { matchLabels: { app: {{ $service.name }} } }
  action: ALLOW
  rules:
    - from: [{ source: { principals: {{ toJson $service.clients.principals }} } }]
      to: [{ operation: { ports: ["8090"], paths: [/v1/*] } }]
    - from: [{ source: { namespaces: [{{ $service.clients.monitoringNamespace }}] } }]
      to: [{ operation: { ports: ["8090"], methods: [GET], paths: [/metrics] } }]
{{- end }}
{{- if and $service.enabled (eq $access "NetworkPolicy") }}
{{- if empty $service.clients.peers }}
{{- fail "service.clients.peers: name the pods that may call the service; an empty list would admit every pod. Or set service.access: none" }}
{{- end }}
# Only the proxies and Prometheus may connect to the signout service: a client with its API token can
# sign every user out.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ $service.name }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "session-guard.labels" . | nindent 4 }}
spec:
  podSelector: { matchLabels: { app: {{ $service.name }} } }
  policyTypes: [Ingress]
  ingress:
    - from:
        {{- toYaml $service.clients.peers | nindent 8 }}
        - namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: {{ $service.clients.monitoringNamespace }} } }
      ports: [{ port: 8090 }]
{{- end }}
