{{- define "dev.config.prometheus" -}}
prometheus.yml: |
  global: {scrape_interval: 5s, evaluation_interval: 15s}
  rule_files: [/etc/prometheus-rules/*.yaml]
  scrape_configs:
    - job_name: pods
      kubernetes_sd_configs: [{role: pod, namespaces: {own_namespace: true}}]
      relabel_configs:
        - {source_labels: [__meta_kubernetes_pod_container_port_name], regex: http|sdk-metrics, action: keep}
        - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
        - {source_labels: [__meta_kubernetes_pod_container_name], target_label: container}
        - {source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_component], target_label: component}
{{- end -}}

{{- define "dev.config.prometheus-rules" -}}
{{ (.Files.Glob "files/rules/*.yaml").AsConfig }}
{{- end -}}

{{/* Dashboards and links refer to a data source by its uid, so uids must not change. */}}
{{- define "dev.config.grafana-sources" -}}
sources.yaml: |
  apiVersion: 1
  datasources:
    - {name: Prometheus, uid: prometheus, type: prometheus, url: "http://prometheus:9090", isDefault: true}
    - {name: Jaeger, uid: jaeger, type: jaeger, url: "http://jaeger:16686"}
{{- end -}}

{{- define "dev.config.grafana-folders" -}}
folders.yaml: |
  apiVersion: 1
  providers:
    - {name: orderfleet, folder: Orderfleet, type: file, allowUiUpdates: true, options: {path: /etc/grafana/dashboards}}
{{- end -}}

{{- define "dev.config.grafana-dashboards" -}}
{{ (.Files.Glob "files/dashboards/*.json").AsConfig }}
{{- end -}}

{{- define "dev.config.collector" -}}
config.yaml: |
  receivers: {otlp: {protocols: {grpc: {endpoint: "0.0.0.0:4317"}}}}
  processors: {batch: {timeout: 1s}}
  exporters: {otlp: {endpoint: "jaeger:4317", tls: {insecure: true}}}
  extensions: {health_check: {endpoint: "0.0.0.0:13133"}}
  service:
    extensions: [health_check]
    pipelines: {traces: {receivers: [otlp], processors: [batch], exporters: [otlp]}}
{{- end -}}
