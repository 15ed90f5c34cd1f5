{{/* Labels of a workload and its objects. Takes: root, name, component. */}}
{{- define "parley.labels" -}}
app.kubernetes.io/name: {{ .name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{ include "parley.common" .root }}
{{- end }}

{{- define "parley.common" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: parley
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "parley.podLabels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: parley
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{/* The image of a workload, by digest if there is one. */}}
{{- define "parley.image" -}}
{{- $image := .root.Values.image -}}
{{- $name := printf "%s/%s" $image.repository .image -}}
{{- with get $image.digests .image -}}
{{ $name }}@{{ . }}
{{- else -}}
{{ $name }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Settings of all workloads, as JSON. */}}
{{- define "parley.commonSettings" -}}
{{- $own := dict "PUBLIC_URL" .Values.publicUrl "LOG_LEVEL" .Values.logLevel "HOST" "0.0.0.0" "ADMIN_HOST" "0.0.0.0" "SECRETS_DIR" "/run/secrets/parley" "OTEL_EXPORTER_OTLP_ENDPOINT" .Values.traces.endpoint "OTEL_TRACES_SAMPLER_ARG" (.Values.traces.sampleRatio | toString) -}}
{{- merge (deepCopy .Values.settings) $own | toJson -}}
{{- end }}

{{/* Settings of one workload, as JSON. Takes: root, name, workload, values. */}}
{{- define "parley.settings" -}}
{{- $w := .workload -}}
{{- $own := merge (dict "ADMIN_PORT" $w.admin) $w.environment -}}
{{- with $w.http }}{{- $_ := set $own "PORT" . -}}{{- end -}}
{{- if and (or .root.Values.ingress.enabled .root.Values.httpRoute.enabled) (eq .name "gateway") -}}
{{- $_ := set $own "TRUSTED_PROXIES" "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fc00::/7" -}}
{{- end -}}
{{- merge (deepCopy .values.settings) $own | toJson -}}
{{- end }}

{{- define "parley.data" -}}
{{- range $key, $value := . }}
{{- $text := toString $value }}
{{- if kindIs "float64" $value }}{{- if eq $value (floor $value) }}{{- $text = printf "%.0f" $value }}{{- end }}{{- end }}
{{ $key }}: {{ $text | quote }}
{{- end }}
{{- end }}

{{/* The number of replicas: with an autoscaler, the number that runs, because a removed number would mean one. */}}
{{- define "parley.replicas" -}}
{{- $replicas := .values.replicas -}}
{{- if .root.Values.autoscaling.enabled -}}
{{- $live := lookup "apps/v1" "Deployment" .root.Release.Namespace .name -}}
{{- $replicas = max .values.autoscaling.min (dig "spec" "replicas" 0 $live) -}}
{{- end -}}
{{ $replicas }}
{{- end }}
