{{/*
The operators, as a JSON list of {part, selector}: the default operator, and one for each entry of
`operator.shards`. Exactly one selector matches each Order.
*/}}
{{- define "orderfleet.operators" -}}
{{- $label := .Values.operator.shards.label -}}
{{- $shards := list -}}
{{- $taken := dict -}}
{{- range $name, $values := .Values.operator.shards.operators -}}
{{- range $value := $values -}}
{{- with get $taken $value }}{{ fail (printf "operator.shards.operators: %s stands in %s and in %s; an Order has one operator" $value . $name) }}{{ end -}}
{{- $_ := set $taken $value $name -}}
{{- end -}}
{{- $shards = append $shards (dict "part" (printf "%s-operator" $name) "selector" (printf "%s in (%s)" $label (join "," $values))) -}}
{{- end -}}
{{- $rest := "" -}}
{{- if $shards }}{{ $rest = printf "%s notin (%s)" $label (keys $taken | sortAlpha | join ",") }}{{ end -}}
{{- prepend $shards (dict "part" "operator" "selector" $rest) | toJson -}}
{{- end -}}
