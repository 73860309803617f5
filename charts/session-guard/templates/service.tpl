{{- $service := .Values.service }}
{{- $isRedb := eq $service.store.kind "redb" }}
{{- if $service.enabled }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $service.name }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "session-guard.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $service.name }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "session-guard.labels" . | nindent 4 }}
    app: {{ $service.name }}
spec:
  selector: { app: {{ $service.name }} }
  ports: [{ name: {{ if $service.tls.secret }}https{{ else }}http{{ end }}, port: 8090, targetPort: http, appProtocol: {{ if $service.tls.secret }}https{{ else }}http{{ end }} }]
{{- if $isRedb }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ $service.name }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "session-guard.labels" . | nindent 4 }}
  # `helm uninstall` keeps the revocations. Without them, signed-out tokens would be accepted again.
  annotations: { helm.sh/resource-policy: keep }
spec:
  accessModes: [ReadWriteOnce]
  {{- with $service.store.redb.storageClassName }}
  storageClassName: {{ . }}
  {{- end }}
  resources: { requests: { storage: {{ $service.store.redb.size }} } }
{{- end }}
{{- with $service.issuers }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $service.name }}-issuers
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "session-guard.labels" $ | nindent 4 }}
data:
  issuers.json: {{ dict "issuers" . | toJson | quote }}
{{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $service.name }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "session-guard.labels" . | nindent 4 }}
    app: {{ $service.name }}
spec:
  {{- if $isRedb }}
  # Only one process can open the embedded store. During an update, proxies keep enforcing the
  # revocations that they have, and keep new sign-outs in their outboxes.
  replicas: 1
  strategy: { type: Recreate }
  {{- else }}
  replicas: {{ $service.store.redis.replicas }}
  strategy: { type: RollingUpdate, rollingUpdate: { maxUnavailable: 0 } }
  {{- end }}
  selector: { matchLabels: { app: {{ $service.name }} } }
  template:
    metadata:
      labels: { app: {{ $service.name }} }
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "8090"
        {{- if eq (include "session-guard.access" .) "AuthorizationPolicy" }}
        # Otherwise Istio would serve the service's metrics at a port of the proxy that everybody can read.
        prometheus.istio.io/merge-metrics: "false"
        {{- end }}
        {{- if $service.tls.secret }}
        prometheus.io/scheme: https
        {{- end }}
        {{- with $service.issuers }}
        session-guard/issuers: {{ toJson . | sha256sum }} # a change starts new pods
        {{- end }}
        {{- with $service.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ $service.name }}
      {{- with $service.imagePullSecrets }}
      imagePullSecrets: {{ toJson . }}
      {{- end }}
      {{- with $service.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $service.nodeSelector }}
      nodeSelector: {{ toJson . }}
      {{- end }}
      {{- with $service.tolerations }}
      tolerations: {{ toJson . }}
      {{- end }}
      {{- with $service.affinity }}
      affinity: {{ toJson . }}
      {{- end }}
      {{- if not $isRedb }}
      # One pod per node, as far as possible, so that the loss of a node does not stop all of them.
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: { matchLabels: { app: {{ $service.name }} } }
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: { type: RuntimeDefault }
      containers:
        - name: signout
          image: {{ include "session-guard.image" (list . $service.image) }}
          {{- if ne $service.image.pullPolicy "IfNotPresent" }}
          imagePullPolicy: {{ $service.image.pullPolicy }}
          {{- end }}
          {{- $arguments := list }}
          {{- if not $isRedb }}
          {{- if ne $service.store.redis.prefix "session-guard" }}{{ $arguments = concat $arguments (list "--redis-prefix" $service.store.redis.prefix) }}{{ end }}
          {{- if $service.store.redis.caSecret }}{{ $arguments = concat $arguments (list "--redis-ca" "/etc/signout/redis/ca.crt") }}{{ end }}
          {{- end }}
          {{- if not (kindIs "invalid" $service.capacity) }}{{ $arguments = concat $arguments (list "--capacity" (toString (int64 $service.capacity))) }}{{ end }}
          {{- if $service.tls.secret }}{{ $arguments = concat $arguments (list "--tls-cert" "/etc/signout/tls/tls.crt" "--tls-key" "/etc/signout/tls/tls.key") }}{{ end }}
          {{- if $service.issuers }}{{ $arguments = concat $arguments (list "--issuers" "/etc/signout/issuers/issuers.json") }}{{ end }}
          {{- if $service.tokensSecret }}{{ $arguments = concat $arguments (list "--tokens" "/etc/signout/tokens/tokens.json") }}{{ end }}
          {{- if or $arguments (not $isRedb) }}
          {{- $store := ternary (list "--store" "redb:/var/lib/signout/revocations.redb") list $isRedb }}
          args: {{ concat (list "signout" "serve" "--listen" "0.0.0.0:8090") $store $arguments | toJson }}
          {{- end }}
          ports: [{ name: http, containerPort: 8090 }]
          env:
            # One token for each role: any can be exchanged without touching the others. The command
            # line uses the first (`kubectl exec deploy/{{ $service.name }} -- signout status`).
            - name: OPERATOR_TOKEN
              valueFrom: { secretKeyRef: { name: {{ $service.secret }}, key: OPERATOR_TOKEN } }
            - name: PROXY_TOKENS # one, or several separated by commas
              valueFrom: { secretKeyRef: { name: {{ $service.secret }}, key: PROXY_TOKENS } }
            - name: SIGNOUT_TOKEN
              value: $(OPERATOR_TOKEN),$(PROXY_TOKENS)
            # Without this token nobody can sign out all users at once. No proxy has it.
            - name: SIGNOUT_ADMIN_TOKEN
              valueFrom: { secretKeyRef: { name: {{ $service.secret }}, key: SIGNOUT_ADMIN_TOKEN } }
            {{- if not $isRedb }}
            - name: SIGNOUT_STORE
              valueFrom: { secretKeyRef: { name: {{ $service.secret }}, key: SIGNOUT_STORE } }
            {{- end }}
          {{- $mounts := list }}{{ $volumes := list }}
          {{- if $isRedb }}
          {{- $mounts = append $mounts (dict "name" "store" "mountPath" "/var/lib/signout") }}
          {{- $volumes = append $volumes (dict "name" "store" "persistentVolumeClaim" (dict "claimName" $service.name)) }}
          {{- else if $service.store.redis.caSecret }}
          {{- $mounts = append $mounts (dict "name" "redis" "mountPath" "/etc/signout/redis" "readOnly" true) }}
          {{- $volumes = append $volumes (dict "name" "redis" "secret" (dict "secretName" $service.store.redis.caSecret)) }}
          {{- end }}
          {{- if $service.tls.secret }}
          {{- $mounts = append $mounts (dict "name" "tls" "mountPath" "/etc/signout/tls" "readOnly" true) }}
          {{- $volumes = append $volumes (dict "name" "tls" "secret" (dict "secretName" $service.tls.secret)) }}
          {{- end }}
          {{- if $service.issuers }}
          {{- $mounts = append $mounts (dict "name" "issuers" "mountPath" "/etc/signout/issuers" "readOnly" true) }}
          {{- $volumes = append $volumes (dict "name" "issuers" "configMap" (dict "name" (printf "%s-issuers" $service.name))) }}
          {{- end }}
          {{- if $service.tokensSecret }}
          {{- $mounts = append $mounts (dict "name" "tokens" "mountPath" "/etc/signout/tokens" "readOnly" true) }}
          {{- $volumes = append $volumes (dict "name" "tokens" "secret" (dict "secretName" $service.tokensSecret)) }}
          {{- end }}
          {{- with $mounts }}
          volumeMounts: {{ toJson . }}
          {{- end }}
          {{- $scheme := ternary "HTTPS" "" (ne $service.tls.secret "") }}
          {{- $probe := dict "port" "http" }}
          {{- if $scheme }}{{ $_ := set $probe "scheme" $scheme }}{{ end }}
          # The service responds once it has read its store; ten million revocations take a while.
          startupProbe: { httpGet: {{ merge (dict "path" "/healthz") $probe | toJson }}, periodSeconds: 2, failureThreshold: 300 }
          readinessProbe: { httpGet: {{ merge (dict "path" "/readyz") $probe | toJson }}, periodSeconds: 5 }
          livenessProbe: { httpGet: {{ merge (dict "path" "/healthz") $probe | toJson }}, periodSeconds: 10, timeoutSeconds: 5 }
          resources: {{ toJson $service.resources }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
      {{- with $volumes }}
      volumes: {{ toJson . }}
      {{- end }}
{{- if not $isRedb }}
---
# While nodes are drained, at least one pod keeps running.
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $service.name }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "session-guard.labels" . | nindent 4 }}
spec:
  minAvailable: 1
  selector: { matchLabels: { app: {{ $service.name }} } }
{{- end }}
{{- end }}
