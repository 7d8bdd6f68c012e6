{{/* Temporal: its address, credentials and certificates, and the encryption keys of its histories. Context of all: the root. */}}

{{- define "orderfleet.temporal.env" -}}
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
- name: ORDERFLEET_ORDERS_TASK_QUEUE
  value: {{ .Values.queues.orders | quote }}
- name: ORDERFLEET_SHIPPING_TASK_QUEUE
  value: {{ .Values.queues.shipping | quote }}
{{- end -}}

{{- define "orderfleet.temporal.mounts" -}}
{{- if .Values.temporal.apiKeySecret.name }}
- name: temporal-key
  mountPath: /etc/orderfleet/temporal-key
  readOnly: true
{{- end }}
{{- if and .Values.temporal.tls.enabled .Values.temporal.tls.secret }}
- name: temporal-tls
  mountPath: /etc/orderfleet/temporal
  readOnly: true
{{- end }}
{{- end -}}

{{- define "orderfleet.temporal.volumes" -}}
{{- with .Values.temporal.apiKeySecret.name }}
- name: temporal-key
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

{{- define "orderfleet.encryption.env" -}}
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
{{- end -}}

{{- define "orderfleet.encryption.mounts" -}}
{{- if .Values.encryption.keysSecret }}
- name: encryption-keys
  mountPath: /etc/orderfleet/encryption
  readOnly: true
{{- end }}
{{- end -}}

{{- define "orderfleet.encryption.volumes" -}}
{{- with .Values.encryption.keysSecret }}
- name: encryption-keys
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}
