{{/*
Templates for a chart that depends on this one; each takes the root context.

  initContainers:
    {{- include "ringmeter.sidecar" . | nindent 4 }}
  containers:
    - name: app
      env:
        {{- include "ringmeter.env" . | nindent 8 }}
      volumeMounts:
        {{- include "ringmeter.volumeMounts" . | nindent 8 }}
  volumes:
    {{- include "ringmeter.volumes" . | nindent 4 }}

And in the pod: fsGroup (ringmeter.fsGroup), the label of ringmeter.podLabels, and a
terminationGracePeriodSeconds above your own and the linger together.
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
    # Has to hold both: the sum of what `ringmeter size` says.
    sizeLimit: {{ .Values.ringmeter.segmentsSizeLimit }}
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
