{{/* Authentication of callers of the API and the codec server: the mode as variables, Secrets as files. Context of all: the root. */}}

{{- define "orderfleet.auth.env" -}}
{{- with .Values.api.auth -}}
{{- if not .mode -}}
{{- fail "api.auth.mode isn't set: choose `tokens`, `jwt`, or `none` if every client that reaches the API may change every order; or leave the API out, api.enabled=false" -}}
{{- end -}}
- name: ORDERFLEET_API_AUTH
  value: {{ .mode }}
{{- if eq .mode "tokens" }}
{{- if not .tokensSecret.name }}
{{- fail "api.auth.tokensSecret.name isn't set: api.auth.mode=tokens needs the Secret with the list of tokens" }}
{{- end }}
- name: ORDERFLEET_API_TOKENS_FILE
  value: /etc/orderfleet/api/tokens/{{ .tokensSecret.key }}
{{- end }}
{{- if eq .mode "jwt" }}
{{- range $key := list "jwksUrl" "issuer" "audience" }}
{{- if not (get $.Values.api.auth.jwt $key) }}
{{- fail (printf "api.auth.jwt.%s isn't set: api.auth.mode=jwt needs it" $key) }}
{{- end }}
{{- end }}
- name: ORDERFLEET_API_JWKS_URL
  value: {{ .jwt.jwksUrl | quote }}
- name: ORDERFLEET_API_JWT_ISSUER
  value: {{ .jwt.issuer | quote }}
- name: ORDERFLEET_API_JWT_AUDIENCE
  value: {{ .jwt.audience | quote }}
- name: ORDERFLEET_API_JWT_ROLES_CLAIM
  value: {{ .jwt.rolesClaim | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Whole folders instead of single files (subPath): a changed Secret is updated in running pods. */}}
{{- define "orderfleet.auth.mounts" -}}
{{- with .Values.api.auth -}}
{{- if eq .mode "tokens" }}
- name: api-tokens
  mountPath: /etc/orderfleet/api/tokens
  readOnly: true
{{- end }}
{{- end -}}
{{- end -}}

{{- define "orderfleet.auth.volumes" -}}
{{- with .Values.api.auth -}}
{{- if eq .mode "tokens" }}
- name: api-tokens
  secret:
    secretName: {{ .tokensSecret.name }}
    defaultMode: 0440
{{- end }}
{{- end -}}
{{- end -}}

{{/* Secrets of callers that only the API has: the carrier's own tokens, the signing secrets of Stripe's webhooks. */}}
{{- define "orderfleet.callers" -}}
{{- $auth := .Values.api.auth -}}
{{- list
  (dict "volume" "carrier-tokens" "folder" "carrier" "variable" "ORDERFLEET_API_CARRIER_TOKENS_FILE" "secret" $auth.carrierTokensSecret)
  (dict "volume" "stripe-webhook" "folder" "stripe" "variable" "ORDERFLEET_STRIPE_WEBHOOK_SECRET_FILE" "secret" $auth.stripeWebhookSecret)
| toJson -}}
{{- end -}}

{{- define "orderfleet.callers.env" -}}
{{- range include "orderfleet.callers" . | fromJsonArray }}
{{- if .secret.name }}
- name: {{ .variable }}
  value: /etc/orderfleet/api/{{ .folder }}/{{ .secret.key }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "orderfleet.callers.mounts" -}}
{{- range include "orderfleet.callers" . | fromJsonArray }}
{{- if .secret.name }}
- name: {{ .volume }}
  mountPath: /etc/orderfleet/api/{{ .folder }}
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{- define "orderfleet.callers.volumes" -}}
{{- range include "orderfleet.callers" . | fromJsonArray }}
{{- if .secret.name }}
- name: {{ .volume }}
  secret:
    secretName: {{ .secret.name }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- end -}}
