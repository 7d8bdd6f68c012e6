{{- define "dev.config.prometheus" -}}
prometheus.yml: |
  global: {scrape_interval: 5s}
  scrape_configs:
    - job_name: pods
      kubernetes_sd_configs: [{role: pod, namespaces: {own_namespace: true}}]
      relabel_configs:
        - {source_labels: [__meta_kubernetes_pod_container_port_name], regex: http|sdk-metrics, action: keep}
        - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
        - {source_labels: [__meta_kubernetes_pod_container_name], target_label: container}
        - {source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_component], target_label: component}
{{- end -}}

{{- define "dev.config.grafana" -}}
sources.yaml: |
  apiVersion: 1
  datasources:
    - {name: Prometheus, uid: prometheus, type: prometheus, url: "http://prometheus:9090", isDefault: true}
    - {name: Jaeger, uid: jaeger, type: jaeger, url: "http://jaeger:16686"}
{{- end -}}

{{- define "dev.config.collector" -}}
config.yaml: |
  receivers: {otlp: {protocols: {grpc: {endpoint: "0.0.0.0:4317"}}}}
  exporters: {otlp: {endpoint: "jaeger:4317", tls: {insecure: true}}}
  extensions: {health_check: {endpoint: "0.0.0.0:13133"}}
  service:
    extensions: [health_check]
    pipelines: {traces: {receivers: [otlp], exporters: [otlp]}}
{{- end -}}
