{{- with .Values.monitoring.rules }}
{{- if .enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: session-guard
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "session-guard.labels" $ | nindent 4 }}
    {{- with .labels }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  groups: {{ ($.Files.Get "files/rules.yaml" | fromYaml).groups | toJson }}
{{- end }}
{{- end }}
{{- with .Values.monitoring.dashboard }}
{{- if .enabled }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: session-guard-dashboard
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "session-guard.labels" $ | nindent 4 }}
    {{- with .labels }}{{ toYaml . | nindent 4 }}{{ end }}
data:
  session-guard.json: {{ $.Files.Get "files/dashboard.json" | toJson }}
{{- end }}
{{- end }}
{{- with .Values.monitoring.serviceMonitor }}
{{- if .enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ $.Values.service.name }}
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "session-guard.labels" $ | nindent 4 }}
    {{- with .labels }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  selector: { matchLabels: { app: {{ $.Values.service.name }} } }
  endpoints:
    - targetPort: 8090
      interval: 15s # at most 30 s: some rules look at the last minute
      {{- if $.Values.service.tls.secret }}
      scheme: https
      tlsConfig: { ca: { secret: { name: {{ $.Values.service.tls.secret }}, key: ca.crt } }, serverName: {{ include "session-guard.serviceHost" $ }} }
      {{- end }}
      # The rule SignoutInstanceDown uses this name of the job.
      relabelings: [{ targetLabel: job, replacement: signout }]
{{- end }}
{{- end }}
