{{/* Postgres: its address and certificates as files. */}}

{{/* The address has a password, so it is a file: a variable is visible in the pod's environment. Context: {context, tlsSecret}. */}}
{{- define "orderfleet.database.env" -}}
- name: ORDERFLEET_DATABASE_URL_FILE
  value: /etc/orderfleet/database/url
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

{{/* Connection of operator and API for notifications (LISTEN). Context of these: the root. */}}
{{- define "orderfleet.listen.env" -}}
{{- if .Values.database.listenSecret }}
- name: ORDERFLEET_DATABASE_LISTEN_URL_FILE
  value: /etc/orderfleet/database-listen/url
{{- end }}
{{- end -}}

{{- define "orderfleet.listen.mounts" -}}
{{- if .Values.database.listenSecret }}
- name: database-listen
  mountPath: /etc/orderfleet/database-listen
  readOnly: true
{{- end }}
{{- end -}}

{{- define "orderfleet.listen.volumes" -}}
{{- with .Values.database.listenSecret }}
- name: database-listen
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items: [{key: url, path: url}]
{{- end }}
{{- end -}}

{{/* Context of both: {urlSecret: {name, key}, tlsSecret}. */}}
{{- define "orderfleet.database.mounts" -}}
- name: database
  mountPath: /etc/orderfleet/database
  readOnly: true
{{- if .tlsSecret }}
- name: postgres-tls
  mountPath: /etc/orderfleet/postgres
  readOnly: true
{{- end }}
{{- end -}}

{{- define "orderfleet.database.volumes" -}}
- name: database
  secret:
    secretName: {{ required "database.urlSecret.name names the Secret with the database address" .urlSecret.name }}
    defaultMode: 0440
    # The Secret may have other entries, such as the password.
    items: [{key: {{ .urlSecret.key | quote }}, path: url}]
{{- with .tlsSecret }}
- name: postgres-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/*
Database login of jobs that use the role that owns the tables. Context of all: the root.
*/}}
{{- define "orderfleet.owner.tls" -}}
{{ .Values.migration.tlsSecret | default .Values.database.tls.secret }}
{{- end -}}

{{/* Its login as JSON: {urlSecret, tlsSecret}. */}}
{{- define "orderfleet.owner.login" -}}
{{- $url := ternary .Values.migration.urlSecret .Values.database.urlSecret (ne .Values.migration.urlSecret.name "") -}}
{{- dict "urlSecret" $url "tlsSecret" (include "orderfleet.owner.tls" .) | toJson -}}
{{- end -}}

{{- define "orderfleet.owner.env" -}}
{{- include "orderfleet.database.env" (dict "context" . "tlsSecret" (include "orderfleet.owner.tls" .)) }}
{{ include "orderfleet.settings.env" . }}
{{- with .Values.migration.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "orderfleet.owner.mounts" -}}
{{ include "orderfleet.tmp.mount" . }}
{{ include "orderfleet.database.mounts" (include "orderfleet.owner.login" . | fromJson) }}
{{- end -}}

{{- define "orderfleet.owner.volumes" -}}
{{ include "orderfleet.tmp.volume" . }}
{{ include "orderfleet.database.volumes" (include "orderfleet.owner.login" . | fromJson) }}
{{- end -}}
