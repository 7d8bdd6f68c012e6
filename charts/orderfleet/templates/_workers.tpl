{{/* One worker with its defaults, as YAML. Context: {context, worker}. */}}
{{- define "orderfleet.worker" -}}
{{- mergeOverwrite (deepCopy .context.Values.workerDefaults) (deepCopy (.worker | default dict)) | toYaml -}}
{{- end -}}
