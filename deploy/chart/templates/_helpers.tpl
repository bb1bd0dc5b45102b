{{/* The name of all objects. The name of a Service is a DNS label, but the name of a release may have dots, and may begin
with a digit. */}}
{{- define "bindery.name" -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- $name := printf "%s-%s" ($release | trunc 45 | trimSuffix "-") .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if contains .Chart.Name $release -}}
{{- $name = $release | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]" $name) -}}
{{- fail (printf "the name of a Service must begin with a letter, and %s does not: use another release name, or set fullnameOverride" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* Fails if another release manages the same volumes: the two would undo each other's work. Without a cluster
(`helm template`) this cannot be checked. */}}
{{- define "bindery.alone" -}}
{{- if not .Values.instance -}}
{{- range (lookup "storage.k8s.io/v1" "StorageClass" "" "").items -}}
{{- $labels := .metadata.labels | default dict -}}
{{- $annotations := .metadata.annotations | default dict -}}
{{- $release := index $annotations "meta.helm.sh/release-name" | default (index $labels "app.kubernetes.io/instance") | default $.Release.Name -}}
{{- $namespace := index $annotations "meta.helm.sh/release-namespace" | default $.Release.Namespace -}}
{{- $same := and (eq $release $.Release.Name) (eq $namespace $.Release.Namespace) -}}
{{- if and (eq .provisioner $.Values.provisionerName) (eq (index $labels "app.kubernetes.io/name" | default "") $.Chart.Name) (not $same) -}}
{{- fail (printf "release %s in namespace %s already serves provisioner %s (StorageClass %s). Two releases of one provisioner would undo each other's work: set provisionerName to another name, or set instance to an id that only this release has" $release $namespace .provisioner .metadata.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "bindery.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "bindery.labels" -}}
{{ include "bindery.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "bindery.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secret for cert-manager. It is not the Secret of Bindery's own certificate, which only Bindery may write. */}}
{{- define "bindery.certificate" -}}
{{- include "bindery.name" . }}-cert-manager
{{- end -}}

{{/* Helm reads every number as a floating-point number: a large uid would become 1e+09. */}}
{{- define "bindery.plain" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* The pod of a Job. It runs Bindery's program with a ServiceAccount of the Job. The Service does not select it. */}}
{{- define "bindery.job" -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    app.kubernetes.io/name: {{ .root.Chart.Name }}-job
    app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
spec:
  serviceAccountName: {{ .account | quote }}
  restartPolicy: Never
  {{- with $values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    {{- with $values.runAsUser }}
    runAsUser: {{ int64 . }}
    runAsGroup: {{ int64 . }}
    {{- end }}
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: bindery
      image: {{ include "bindery.image" .root }}
      {{- with $values.image.pullPolicy }}
      imagePullPolicy: {{ . }}
      {{- end }}
      args: {{- toYaml .args | nindent 8 }}
      resources:
        requests: {cpu: 10m, memory: 16Mi}
        limits: {memory: 128Mi}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
{{- end -}}
