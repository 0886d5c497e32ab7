{{- define "penstock.fullname" -}}
{{- if contains "penstock" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-penstock" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- /* What serves until it is stopped: workers, or what goes through topics of Kafka. A list in YAML. */}}
{{- define "penstock.serving" -}}
{{- $topics := or (gt (int .Values.capture.replicas) 0) (gt (int .Values.apply.replicas) 0) }}
{{- if and $topics (gt (int .Values.replicas) 0) }}
{{- fail "capture and apply need replicas: 0, because workers would feed the same indexes" }}
{{- end }}
{{- if not $topics }}
- worker
{{- end }}
{{- if gt (int .Values.capture.replicas) 0 }}
- capture
{{- end }}
{{- if gt (int .Values.apply.replicas) 0 }}
- apply
{{- end }}
{{- end }}

{{- define "penstock.name" -}}
{{ include "penstock.fullname" .root }}{{ if ne .component "worker" }}-{{ .component }}{{ end }}
{{- end }}

{{- define "penstock.replicas" -}}
{{ if eq .component "worker" }}{{ .root.Values.replicas }}{{ else }}{{ (get .root.Values .component).replicas }}{{ end }}
{{- end }}

{{- define "penstock.selector" -}}
app.kubernetes.io/name: penstock
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "penstock.labels" -}}
{{ include "penstock.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "penstock.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "penstock.fullname" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- /* Metadata of a pod: labels, and a checksum that restarts it when the settings change. */}}
{{- define "penstock.podMetadata" -}}
annotations:
  checksum/settings: {{ dict "settings" .root.Values.settings "files" .root.Values.files | toJson | sha256sum }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
labels:
  {{- include "penstock.labels" . | nindent 2 }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* What all pods share, but for their containers and volumes. */}}
{{- define "penstock.pod" -}}
serviceAccountName: {{ include "penstock.serviceAccount" .root }}
automountServiceAccountToken: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "penstock.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "penstock.env" -}}
- name: PENSTOCK_OBSERVE_LOG_FORMAT
  value: json
{{- range $variable, $key := .Values.secretEnv }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.existingSecret }}
      key: {{ $key }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "penstock.mounts" -}}
- name: settings
  mountPath: /etc/penstock
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- if .Values.existingSecret }}
- name: secret
  mountPath: /run/secrets/penstock
  readOnly: true
{{- end }}
{{- end }}

{{- define "penstock.volumes" -}}
- name: settings
  configMap:
    name: {{ include "penstock.fullname" . }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- if .Values.existingSecret }}
- name: secret
  secret:
    secretName: {{ .Values.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{- /* A container that runs one command to its end. */}}
{{- define "penstock.command" -}}
- name: penstock
  {{- include "penstock.image" .root | nindent 2 }}
  args: {{ .args | toJson }}
  env:
    {{- include "penstock.env" .root | nindent 4 }}
  resources:
    {{- toYaml .root.Values.resources | nindent 4 }}
  volumeMounts:
    {{- include "penstock.mounts" .root | nindent 4 }}
{{- end }}
