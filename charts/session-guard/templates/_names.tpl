{{/* The labels of every object, besides `app`. */}}
{{- define "session-guard.labels" -}}
app.kubernetes.io/name: session-guard
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image by its digest, otherwise by its tag. Takes (list ROOT IMAGE). */}}
{{- define "session-guard.image" -}}
{{- $root := index . 0 }}{{ $image := index . 1 -}}
{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "session-guard.isIstio" -}}
{{ if has .Values.filter.kind (list "TrafficExtension" "WasmPlugin") }}yes{{ end }}
{{- end }}

{{- define "session-guard.filterNamespace" -}}
{{ .Values.filter.namespace | default .Release.Namespace }}
{{- end }}

{{- define "session-guard.serviceHost" -}}
{{ .Values.filter.service.host | default (printf "%s.%s.svc.cluster.local" .Values.service.name .Release.Namespace) }}
{{- end }}

{{- define "session-guard.servicePort" -}}
{{ .Values.filter.service.port | default 8090 }}
{{- end }}

{{/* Envoy's name of the cluster: Istio's for that host and port, or the one of our EnvoyPatchPolicy. */}}
{{- define "session-guard.cluster" -}}
{{ if include "session-guard.isIstio" . }}outbound|{{ include "session-guard.servicePort" . }}||{{ include "session-guard.serviceHost" . }}{{ else }}{{ .Values.filter.name }}-signout{{ end }}
{{- end }}

{{/* The filter's configuration, as YAML. */}}
{{- define "session-guard.config" -}}
{{- $upstream := dict "cluster" (include "session-guard.cluster" .) "authority" (include "session-guard.serviceHost" .) "token" (dict "env" "SIGNOUT_TOKEN") }}
{{- $config := deepCopy .Values.filter.config }}
{{- $revocation := $config.revocation | default dict }}
{{- $_ := set $revocation "upstream" ($revocation.upstream | default $upstream) }}
{{- $_ := set $config "revocation" $revocation }}
{{- toYaml $config }}
{{- end }}

{{/* The environment variables that the configuration reads, as a YAML list without duplicates. */}}
{{- define "session-guard.variables" -}}
{{- $config := include "session-guard.config" . | fromYaml }}
{{- $secrets := list }}
{{- range $config.keys }}{{ $secrets = append $secrets .secret }}{{ end }}
{{- $secrets = append $secrets $config.revocation.upstream.token }}
{{- $names := list }}
{{- range $secret := $secrets }}
  {{- with $secret }}
    {{- if kindIs "slice" .env }}{{ $names = concat $names .env }}{{ else if .env }}{{ $names = append $names .env }}{{ end }}
  {{- end }}
{{- end }}
{{- $names | uniq | toYaml }}
{{- end }}

{{- define "session-guard.access" -}}
{{- if eq .Values.service.access "auto" -}}
{{ if include "session-guard.isIstio" . }}AuthorizationPolicy{{ else }}NetworkPolicy{{ end }}
{{- else }}{{ .Values.service.access }}{{ end }}
{{- end }}
