{{/* Postgres: its address by reference, and the certificates it is verified and logged in to with. */}}

{{/* Context: {context, urlSecret: {name, key}, tlsSecret}. */}}
{{- define "orderfleet.record.env" -}}
- name: ORDERFLEET_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "database.urlSecret.name names the Secret with the record's address" .urlSecret.name }}
      key: {{ .urlSecret.key }}
{{- if .tlsSecret }}
- name: PGSSLMODE
  value: verify-full
- name: PGSSLROOTCERT
  value: /etc/orderfleet/postgres/ca.crt
{{- if .context.Values.database.tls.clientCertificate }}
- name: PGSSLCERT
  value: /etc/orderfleet/postgres/tls.crt
- name: PGSSLKEY
  value: /etc/orderfleet/postgres/tls.key
{{- end }}
{{- end }}
{{- end -}}

{{/* Where operator and API wait for changes. Context: the root. */}}
{{- define "orderfleet.listen.env" -}}
{{- with .Values.database.listenSecret }}
- name: ORDERFLEET_DATABASE_LISTEN_URL
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: url
{{- end }}
{{- end -}}

{{/* Context of both: the Secret's name, or nothing. */}}
{{- define "orderfleet.record.mounts" -}}
{{- if . }}
- name: postgres-tls
  mountPath: /etc/orderfleet/postgres
  readOnly: true
{{- end }}
{{- end -}}

{{- define "orderfleet.record.volumes" -}}
{{- with . }}
- name: postgres-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/*
What a job has that logs in as the role that owns the tables: nothing but that login. Context of all: the root.
*/}}
{{- define "orderfleet.owner.tls" -}}
{{ .Values.migration.tlsSecret | default .Values.database.tls.secret }}
{{- end -}}

{{- define "orderfleet.owner.env" -}}
{{- $url := ternary .Values.migration.urlSecret .Values.database.urlSecret (ne .Values.migration.urlSecret.name "") }}
{{- include "orderfleet.record.env" (dict "context" . "urlSecret" $url "tlsSecret" (include "orderfleet.owner.tls" .)) }}
{{ include "orderfleet.settings.env" . }}
{{- with .Values.migration.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "orderfleet.owner.mounts" -}}
{{ include "orderfleet.tmp.mount" . }}
{{- include "orderfleet.record.mounts" (include "orderfleet.owner.tls" .) }}
{{- end -}}

{{- define "orderfleet.owner.volumes" -}}
{{ include "orderfleet.tmp.volume" . }}
{{- include "orderfleet.record.volumes" (include "orderfleet.owner.tls" .) }}
{{- end -}}
