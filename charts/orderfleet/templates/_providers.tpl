{{/* Payment provider and carrier of the workers: adapters as variables, tokens as files. Context of all: the root. */}}

{{- define "orderfleet.providers.env" -}}
{{- $adapters := dict "payment" "ORDERFLEET_PAYMENT_PROVIDER" "carrier" "ORDERFLEET_CARRIER" -}}
{{- range $part := list "payment" "carrier" }}
{{- $prefix := printf "ORDERFLEET_%s" (upper $part) }}
{{- with get $.Values.providers $part }}
{{- if not .adapter }}
{{- $others := ternary " `stripe`," "" (eq $part "payment") }}
{{- fail (printf "providers.%s.adapter isn't set: choose `http` with its url,%s an adapter of your image, or `simulated` if nothing real may happen" $part $others) }}
{{- end }}
{{- if and (eq .adapter "http") (not .url) }}
{{- fail (printf "providers.%s.url isn't set: providers.%s.adapter=http needs it" $part $part) }}
{{- end }}
{{- if and (eq $part "payment") (eq .adapter "stripe") (not .tokenSecret.name) }}
{{- fail "providers.payment.tokenSecret.name isn't set: providers.payment.adapter=stripe needs the Secret with the API key" }}
{{- end }}
- name: {{ get $adapters $part }}
  value: {{ .adapter | quote }}
{{- with .url }}
- name: {{ $prefix }}_URL
  value: {{ . | quote }}
{{- end }}
{{- if .tokenSecret.name }}
- name: {{ $prefix }}_TOKEN_FILE
  value: /etc/orderfleet/providers/{{ $part }}/{{ .tokenSecret.key }}
{{- end }}
{{- if .caSecret }}
- name: {{ $prefix }}_CA_FILE
  value: /etc/orderfleet/providers/{{ $part }}-ca/ca.crt
{{- end }}
{{- with .timeout }}
- name: {{ $prefix }}_TIMEOUT
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "orderfleet.providers.mounts" -}}
{{- range $part, $provider := .Values.providers }}
{{- if $provider.tokenSecret.name }}
- name: {{ $part }}-token
  mountPath: /etc/orderfleet/providers/{{ $part }}
  readOnly: true
{{- end }}
{{- if $provider.caSecret }}
- name: {{ $part }}-ca
  mountPath: /etc/orderfleet/providers/{{ $part }}-ca
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{- define "orderfleet.providers.volumes" -}}
{{- range $part, $provider := .Values.providers }}
{{- if $provider.tokenSecret.name }}
- name: {{ $part }}-token
  secret:
    secretName: {{ $provider.tokenSecret.name }}
    defaultMode: 0440
{{- end }}
{{- with $provider.caSecret }}
- name: {{ $part }}-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- end -}}
