{{/* The parts of a pod that all roles share: environment, mounts, security. */}}

{{/* Variables of every role: where Postgres and Temporal are, queues, drain, settings. Context: the root. */}}
{{- define "orderfleet.env" -}}
- name: ORDERFLEET_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "database.urlSecret.name names the Secret with the record's address" .Values.database.urlSecret.name }}
      key: {{ .Values.database.urlSecret.key }}
{{- with .Values.database.tls }}
{{- if .secret }}
- name: PGSSLMODE
  value: verify-full
- name: PGSSLROOTCERT
  value: /etc/orderfleet/postgres/ca.crt
{{- if .clientCertificate }}
- name: PGSSLCERT
  value: /etc/orderfleet/postgres/tls.crt
- name: PGSSLKEY
  value: /etc/orderfleet/postgres/tls.key
{{- end }}
{{- end }}
{{- end }}
- name: ORDERFLEET_TEMPORAL_ADDRESS
  value: {{ .Values.temporal.address | quote }}
- name: ORDERFLEET_TEMPORAL_NAMESPACE
  value: {{ .Values.temporal.namespace | quote }}
{{- with .Values.temporal.apiKeySecret }}
{{- if .name }}
- name: ORDERFLEET_TEMPORAL_API_KEY_FILE
  value: /etc/orderfleet/temporal-key/{{ .key }}
{{- end }}
{{- end }}
{{- with .Values.temporal.tls }}
{{- if .enabled }}
- name: TEMPORAL_TLS
  value: "true"
{{- if and .secret .ca }}
- name: TEMPORAL_TLS_SERVER_CA_CERT_PATH
  value: /etc/orderfleet/temporal/ca.crt
{{- end }}
{{- if and .secret .clientCertificate }}
- name: TEMPORAL_TLS_CLIENT_CERT_PATH
  value: /etc/orderfleet/temporal/tls.crt
- name: TEMPORAL_TLS_CLIENT_KEY_PATH
  value: /etc/orderfleet/temporal/tls.key
{{- end }}
{{- with .serverName }}
- name: TEMPORAL_TLS_SERVER_NAME
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.encryption }}
{{- if .keysSecret }}
- name: ORDERFLEET_ENCRYPTION_KEYS_DIR
  value: /etc/orderfleet/encryption
{{- end }}
{{- if .keyId }}
- name: ORDERFLEET_ENCRYPTION_KEY_ID
  value: {{ .keyId | quote }}
{{- if not .keysSecret }}
{{- fail "encryption.keysSecret isn't set: encryption.keyId needs the Secret with the keys" }}
{{- end }}
{{- end }}
{{- end }}
- name: ORDERFLEET_ORDERS_TASK_QUEUE
  value: {{ .Values.queues.orders | quote }}
- name: ORDERFLEET_SHIPPING_TASK_QUEUE
  value: {{ .Values.queues.shipping | quote }}
- name: ORDERFLEET_DRAIN_TIMEOUT
  value: {{ printf "%ds" (int .Values.drainSeconds) | quote }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "orderfleet.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.database.tls.secret }}
- name: postgres-tls
  mountPath: /etc/orderfleet/postgres
  readOnly: true
{{- end }}
{{- if .Values.temporal.apiKeySecret.name }}
- name: temporal-key
  mountPath: /etc/orderfleet/temporal-key
  readOnly: true
{{- end }}
{{- if .Values.encryption.keysSecret }}
- name: encryption-keys
  mountPath: /etc/orderfleet/encryption
  readOnly: true
{{- end }}
{{- if and .Values.temporal.tls.enabled .Values.temporal.tls.secret }}
- name: temporal-tls
  mountPath: /etc/orderfleet/temporal
  readOnly: true
{{- end }}
{{- end -}}

{{- define "orderfleet.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with .Values.database.tls.secret }}
- name: postgres-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.temporal.apiKeySecret.name }}
- name: temporal-key
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.encryption.keysSecret }}
- name: encryption-keys
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- if and .Values.temporal.tls.enabled .Values.temporal.tls.secret }}
- name: temporal-tls
  secret:
    secretName: {{ .Values.temporal.tls.secret }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* What restricted pod security asks of a pod, and where it may run. Context: {context, placement}. */}}
{{- define "orderfleet.pod" -}}
# The variables of a Service called `orderfleet-api` would be taken for settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .context.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .context.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .placement }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Image and rights of a container. Context: the root. */}}
{{- define "orderfleet.container" -}}
image: {{ include "orderfleet.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: {{ .Values.readOnlyRootFilesystem }}
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Live = the event loop answers; ready = the role's own word. A slow start is no death. */}}
{{- define "orderfleet.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  failureThreshold: 45
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{/* Seconds from SIGTERM to SIGKILL: the drain, its last word of 3 s, the API's pause before it, and some air. */}}
{{- define "orderfleet.grace" -}}
{{ add (int .Values.drainSeconds) 15 }}
{{- end -}}
