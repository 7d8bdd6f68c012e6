{{/* Environment, mounts and security of the pods of all roles. */}}

{{/* Variables of workers, operator and API: addresses of Postgres and Temporal, keys, settings. Context: the root. */}}
{{- define "orderfleet.env" -}}
{{- include "orderfleet.database.env" (dict "context" . "tlsSecret" .Values.database.tls.secret) }}
{{ include "orderfleet.temporal.env" . }}
{{- include "orderfleet.encryption.env" . }}
{{ include "orderfleet.settings.env" . }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "orderfleet.mounts" -}}
{{ include "orderfleet.tmp.mount" . }}
{{ include "orderfleet.database.mounts" (dict "urlSecret" .Values.database.urlSecret "tlsSecret" .Values.database.tls.secret) }}
{{- include "orderfleet.temporal.mounts" . }}
{{- include "orderfleet.encryption.mounts" . }}
{{- end -}}

{{- define "orderfleet.volumes" -}}
{{ include "orderfleet.tmp.volume" . }}
{{ include "orderfleet.database.volumes" (dict "urlSecret" .Values.database.urlSecret "tlsSecret" .Values.database.tls.secret) }}
{{- include "orderfleet.temporal.volumes" . }}
{{- include "orderfleet.encryption.volumes" . }}
{{- end -}}

{{/* Variables of every process, without secrets. */}}
{{- define "orderfleet.settings.env" -}}
- name: ORDERFLEET_DRAIN_TIMEOUT
  value: {{ printf "%ds" (int .Values.drainSeconds) | quote }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- define "orderfleet.tmp.mount" -}}
- name: tmp
  mountPath: /tmp
{{- end -}}

{{- define "orderfleet.tmp.volume" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end -}}

{{/* Requirements of the restricted pod security standard, and the placement of a pod. Context: {context, placement}. */}}
{{- define "orderfleet.pod" -}}
# The variables of a Service named `orderfleet-api` would be read as settings.
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

{{/* Image and security context of a container. Context: the root. */}}
{{- define "orderfleet.container" -}}
image: {{ include "orderfleet.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: {{ .Values.readOnlyRootFilesystem }}
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Live: the event loop responds. Ready: the role reports that it is. A slow start is no failure. */}}
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

{{/* Seconds from SIGTERM to SIGKILL: the API's pause before the drain, the drain, 3 s for its last writes, and a reserve. */}}
{{- define "orderfleet.grace" -}}
{{ add (int .Values.drainSeconds) 15 }}
{{- end -}}
