{{/* Labels of a part: {context, part}. */}}
{{- define "dev.selector" -}}
app.kubernetes.io/name: orderfleet-dev
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "dev.labels" -}}
{{ include "dev.selector" . }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version }}
{{- end -}}

{{/* Requirements of the restricted pod security standard. */}}
{{- define "dev.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "dev.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* The volume `data`: a claim, or an emptyDir if storage is empty. Context: {name, storage}. */}}
{{- define "dev.data" -}}
- name: data
  {{- if .storage }}
  persistentVolumeClaim:
    claimName: {{ .name }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end -}}

{{- define "dev.claim" -}}
{{- if .storage }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .part }}
  labels:
    {{- include "dev.labels" . | nindent 4 }}
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: {{ .storage }}
{{- end }}
{{- end -}}
