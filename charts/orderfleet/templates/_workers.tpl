{{/* One worker with its defaults, as YAML. Context: {context, worker}. */}}
{{- define "orderfleet.worker" -}}
{{- mergeOverwrite (deepCopy .context.Values.workerDefaults) (deepCopy (.worker | default dict)) | toYaml -}}
{{- end -}}

{{/* The images of running workers, this release's first, as a JSON list of {build, image}; build is empty without versioning. */}}
{{- define "orderfleet.builds" -}}
{{- $current := .Values.image.digest | default (.Values.image.tag | default .Chart.AppVersion) -}}
{{- if .Values.versioning.deployment -}}
{{- $builds := list -}}
{{- range prepend .Values.versioning.others $current | uniq -}}
{{- $digest := hasPrefix "sha256:" . -}}
{{- $image := ternary (dict "digest" . "tag" "") (dict "digest" "" "tag" .) $digest -}}
{{- $builds = append $builds (dict "build" (trimPrefix "sha256:" . | trunc (ternary 12 63 $digest | int)) "image" $image) -}}
{{- end -}}
{{- $builds | toJson -}}
{{- else -}}
{{- if .Values.versioning.others }}{{ fail "versioning.deployment isn't set: versioning.others needs the name of the Worker Deployment" }}{{ end -}}
{{- list (dict "build" "" "image" dict) | toJson -}}
{{- end -}}
{{- end -}}

{{/* Name of a worker's Deployment and of its autoscaler: {context, part, build}. */}}
{{- define "orderfleet.worker.name" -}}
{{- include "orderfleet.name" .context }}-{{ .part }}{{ with .build }}-{{ . | lower | replace "." "-" | replace "_" "-" | replace "+" "-" | trimAll "-" }}{{ end -}}
{{- end -}}
