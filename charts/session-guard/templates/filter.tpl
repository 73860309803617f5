{{- $filter := .Values.filter }}
{{- if ne $filter.kind "none" }}
{{- if eq (empty $filter.selector) (empty $filter.targetRefs) }}
{{- fail "filter: set exactly one of selector and targetRefs, or the filter would run in no proxy or in all of them" }}
{{- end }}
{{- if eq (index $filter.selector "app" | default "") .Values.service.name }}
{{- fail "filter.selector selects the signout service, whose sidecar would demand tokens from the proxies" }}
{{- end }}
{{- end }}
{{- if include "session-guard.isIstio" . }}
{{- if .Values.service.tls.secret }}
{{- fail "service.tls: under Istio the mesh adds TLS, so leave service.tls.secret empty" }}
{{- end }}
apiVersion: extensions.istio.io/v1alpha1
kind: {{ $filter.kind }}
metadata:
  name: {{ $filter.name }}
  namespace: {{ include "session-guard.filterNamespace" . }}
  labels: {{- include "session-guard.labels" . | nindent 4 }}
spec:
  {{- with $filter.selector }}
  selector: { matchLabels: {{ toJson . }} }
  {{- end }}
  {{- with $filter.targetRefs }}
  targetRefs: {{ toJson . }}
  {{- end }}
  # Before Istio's own authentication and authorization, whose policies then see the header x-user-id.
  phase: AUTHN
  {{- if not (kindIs "invalid" $filter.priority) }}
  priority: {{ $filter.priority }}
  {{- end }}
  {{- with $filter.mode }}
  match: [{ mode: {{ . }} }]
  {{- end }}
  {{- if eq $filter.kind "TrafficExtension" }}
  wasm: {{- include "session-guard.istioPlugin" . | nindent 4 }}
  {{- else }}
  {{- include "session-guard.istioPlugin" . | nindent 2 }}
  {{- end }}
{{- end }}
{{- define "session-guard.istioPlugin" -}}
url: oci://{{ include "session-guard.image" (list . .Values.filter.image) }}
{{- with .Values.filter.image.digest }}
sha256: {{ trimPrefix "sha256:" . }}
{{- end }}
imagePullPolicy: IfNotPresent
{{- with .Values.filter.image.pullSecret }}
imagePullSecret: {{ . }}
{{- end }}
type: HTTP
# Envoy replaces a crashed VM on the next request. With FAIL_CLOSE it would respond 503 until the proxy
# restarts; with FAIL_OPEN it would admit every request.
failStrategy: FAIL_RELOAD
vmConfig:
  env:
    {{- range include "session-guard.variables" . | fromYamlArray }}
    - { name: {{ . }}, valueFrom: HOST }
    {{- end }}
pluginConfig: {{- include "session-guard.config" . | nindent 2 }}
{{- end }}
{{- if eq $filter.kind "EnvoyExtensionPolicy" }}
{{- if ne (len $filter.targetRefs) 1 }}
{{- fail "filter.targetRefs: EnvoyExtensionPolicy needs the one Gateway that it protects" }}
{{- end }}
{{- $gateway := first $filter.targetRefs }}
{{- if ne $gateway.kind "Gateway" }}
{{- fail "filter.targetRefs: target the Gateway; a route without the policy would forward a client's x-user-id" }}
{{- end }}
{{- $namespace := include "session-guard.filterNamespace" . }}
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata:
  name: {{ $filter.name }}
  namespace: {{ $namespace }}
  labels: {{- include "session-guard.labels" . | nindent 4 }}
spec:
  targetRefs: {{ toJson $filter.targetRefs }}
  wasm:
    - name: {{ $filter.name }}
      code:
        type: Image
        image:
          url: {{ include "session-guard.image" (list . $filter.image) }}
          {{- with $filter.image.pullSecret }}
          pullSecretRef: { name: {{ . }} }
          {{- end }}
      failOpen: false
      # The proxy's container has these variables from its EnvoyProxy.
      env: { hostKeys: {{ include "session-guard.variables" . | fromYamlArray | toJson }} }
      config: {{- include "session-guard.config" . | nindent 8 }}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyPatchPolicy
metadata:
  name: {{ $filter.name }}
  namespace: {{ $namespace }}
  labels: {{- include "session-guard.labels" . | nindent 4 }}
spec:
  targetRef: {{ toJson $gateway }}
  type: JSONPatch
  jsonPatches:
    # The cluster under which the filter calls the signout service. A route to the service would also
    # create one, but would publish the service.
    - type: type.googleapis.com/envoy.config.cluster.v3.Cluster
      name: {{ include "session-guard.cluster" . }}
      operation:
        op: add
        path: ""
        value:
          name: {{ include "session-guard.cluster" . }}
          type: STRICT_DNS
          dns_lookup_family: V4_PREFERRED
          connect_timeout: 1s
          upstream_connection_options:
            tcp_keepalive: { keepalive_time: 10, keepalive_interval: 5, keepalive_probes: 3 }
          typed_extension_protocol_options:
            envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
              "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
              explicit_http_config: { http_protocol_options: {} }
              # Shorter than the service's own idle time-out, 300 s.
              common_http_protocol_options: { idle_timeout: 60s }
          load_assignment:
            cluster_name: {{ include "session-guard.cluster" . }}
            endpoints:
              - lb_endpoints:
                  - endpoint:
                      address:
                        socket_address:
                          address: {{ include "session-guard.serviceHost" . }}
                          port_value: {{ include "session-guard.servicePort" . }}
          {{- if .Values.service.tls.secret }}
          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
              sni: {{ include "session-guard.serviceHost" . }}
              common_tls_context:
                validation_context:
                  trusted_ca: { inline_string: {{ required "service.tls.ca: the certificates with which the proxies verify the service" .Values.service.tls.ca | toJson }} }
                  # Without this, Envoy accepts every certificate of that authority.
                  match_typed_subject_alt_names:
                    - { san_type: DNS, matcher: { exact: {{ include "session-guard.serviceHost" . }} } }
          {{- end }}
    {{- range $filter.envoyGateway.listeners }}
    - type: type.googleapis.com/envoy.config.listener.v3.Listener
      name: {{ $namespace }}/{{ $gateway.name }}/{{ . }}
      operation:
        op: add
        jsonPath: {{ printf "..http_filters[?(@.name=='envoy.filters.http.wasm/envoyextensionpolicy/%s/%s/wasm/0')].typed_config.config" $namespace $filter.name | quote }}
        path: /failure_policy
        value: FAIL_RELOAD
    {{- end }}
{{- end }}
