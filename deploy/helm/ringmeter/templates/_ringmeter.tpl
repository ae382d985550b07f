{{/*
Templates for a chart that depends on this one; each takes the root context.

  metadata:
    labels:
      {{- include "ringmeter.podLabels" . | nindent 6 }}
  spec:
    terminationGracePeriodSeconds: 60
    securityContext:
      fsGroup: {{ include "ringmeter.fsGroup" . }}
    initContainers:
      {{- include "ringmeter.sidecar" . | nindent 6 }}
    containers:
      - name: app
        env:
          {{- include "ringmeter.env" . | nindent 10 }}
        volumeMounts:
          {{- include "ringmeter.volumeMounts" . | nindent 10 }}
    volumes:
      {{- include "ringmeter.volumes" . | nindent 6 }}

And in a file of its own, for the Prometheus operator: {{ include "ringmeter.podMonitor" . }}

fsGroup may be another, but has to be there: without it the two containers cannot read each other's
files. The grace period has to be above your application's own time and the linger together. The
PodMonitor also looks for the label app.kubernetes.io/instance, and names the job by
app.kubernetes.io/name.
*/}}

{{/* Values over the defaults of this chart, which Helm merges under `ringmeter`. */}}
{{- define "ringmeter.directory" -}}/run/ringmeter{{- end }}

{{- define "ringmeter.fsGroup" -}}2000{{- end }}

{{- define "ringmeter.podLabels" -}}
ringmeter.io/scrape: "true"
{{- end }}

{{- define "ringmeter.layout" -}}
{{- $layout := .Values.ringmeter.layout -}}
{{- if not (has $layout (list "hardened" "simple")) -}}
{{- fail (printf "ringmeter.layout is %q; it must be hardened or simple" $layout) -}}
{{- end -}}
{{- $layout -}}
{{- end }}

{{- define "ringmeter.sidecar" -}}
{{- $values := .Values.ringmeter -}}
- name: ringmeter
  image: {{ $values.image | quote }}
  imagePullPolicy: {{ $values.imagePullPolicy }}
  restartPolicy: Always
  args: [agent]
  env:
    - name: RINGMETER_DIR
      value: {{ include "ringmeter.directory" . }}
    - name: RINGMETER_WEB_SHUTDOWN_LINGER
      value: {{ $values.shutdownLinger | quote }}
  ports:
    - name: metrics
      containerPort: 19310
  livenessProbe:
    exec:
      command: [/ringmeter, healthcheck]
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  {{- if $values.startupProbe }}
  startupProbe:
    exec:
      command: [/ringmeter, healthcheck, --url, "http://localhost:19310/-/ready"]
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 60
  {{- end }}
  resources:
    {{- toYaml $values.resources | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
    seccompProfile:
      type: RuntimeDefault
  volumeMounts:
    {{- if eq (include "ringmeter.layout" .) "hardened" }}
    - name: ringmeter-segments
      mountPath: {{ include "ringmeter.directory" . }}/segments
      readOnly: true
    - name: ringmeter-agent
      mountPath: {{ include "ringmeter.directory" . }}/agent
    {{- else }}
    - name: ringmeter
      mountPath: {{ include "ringmeter.directory" . }}
    {{- end }}
{{- end }}

{{- define "ringmeter.env" -}}
- name: RINGMETER_DIR
  value: {{ include "ringmeter.directory" . }}
- name: RINGMETER_SERVICE
  value: {{ .Values.ringmeter.service | default .Chart.Name | quote }}
{{- end }}

{{- define "ringmeter.volumeMounts" -}}
{{- if eq (include "ringmeter.layout" .) "hardened" -}}
- name: ringmeter-segments
  mountPath: {{ include "ringmeter.directory" . }}/segments
- name: ringmeter-agent
  mountPath: {{ include "ringmeter.directory" . }}/agent
  readOnly: true
{{- else -}}
- name: ringmeter
  mountPath: {{ include "ringmeter.directory" . }}
{{- end }}
{{- end }}

{{/* A size in Mi, to add up. */}}
{{- define "ringmeter.mebibytes" -}}
{{- $size := toString . -}}
{{- if not (regexMatch "^[0-9]+[MG]i$" $size) -}}
{{- fail (printf "%q has to be whole Mi or Gi, as ringmeter size --output yaml writes it" $size) -}}
{{- end -}}
{{- $number := $size | trimSuffix "Mi" | trimSuffix "Gi" | int -}}
{{- hasSuffix "Gi" $size | ternary (mul 1024 $number) $number -}}
{{- end }}

{{/* Of the one volume that holds both. */}}
{{- define "ringmeter.simpleSizeLimit" -}}
{{- $segments := include "ringmeter.mebibytes" .Values.ringmeter.segmentsSizeLimit -}}
{{- $agent := include "ringmeter.mebibytes" .Values.ringmeter.agentSizeLimit -}}
{{- add $segments $agent -}}Mi
{{- end }}

{{- define "ringmeter.volumes" -}}
{{- if eq (include "ringmeter.layout" .) "hardened" -}}
- name: ringmeter-segments
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.ringmeter.segmentsSizeLimit }}
- name: ringmeter-agent
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.ringmeter.agentSizeLimit }}
{{- else -}}
- name: ringmeter
  emptyDir:
    medium: Memory
    sizeLimit: {{ include "ringmeter.simpleSizeLimit" . }}
{{- end }}
{{- end }}

{{- define "ringmeter.podMonitor" -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ .Release.Name }}-ringmeter
spec:
  selector:
    matchLabels:
      app.kubernetes.io/instance: {{ .Release.Name }}
      ringmeter.io/scrape: "true"
  jobLabel: app.kubernetes.io/name
  podMetricsEndpoints:
    - port: metrics
      path: /metrics
      interval: {{ .Values.ringmeter.podMonitor.interval }}
      scrapeTimeout: {{ .Values.ringmeter.podMonitor.scrapeTimeout }}
{{- end }}
