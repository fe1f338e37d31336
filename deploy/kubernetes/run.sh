#!/bin/sh
# Runs one command of customer-sync in the cluster and follows its log; the exit code is the command's:
#   deploy/kubernetes/run.sh backfill --page 104438651290000
# NAMESPACE is the namespace of the CronJobs, by default customer-sync.
set -eu
namespace=${NAMESPACE:-customer-sync}
job=customer-sync-manual-$(date +%s)-$$

arguments=
for argument; do
  arguments="$arguments, \"$(printf %s "$argument" | sed 's/[\\"]/\\&/g')\""
done
# `kubectl create job` cannot change arguments.
change="[{\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/args\", \"value\": [${arguments#, }]}]"
kubectl create job "$job" --namespace "$namespace" --from cronjob/customer-sync-manual --dry-run=client --output json |
  kubectl patch --local --filename - --type json --patch "$change" --output json |
  kubectl create --filename - >&2

get() {
  kubectl get --namespace "$namespace" --ignore-not-found "$@"
}
state='.status.containerStatuses[?(@.name=="customer-sync")].state'
columns="POD:.metadata.name,RUNNING:$state.running.startedAt,EXIT:$state.terminated.exitCode"
reason="{.status.conditions[?(@.type==\"PodScheduled\")].message}{$state.waiting.reason} {$state.waiting.message}"

# The newest pod counts, since a drain replaces it. Where the cluster does not answer, the Job still goes on.
followed='' code='' polls=0
while :; do
  sleep 1
  # The Job before its pods: once it has ended, the newest pod is the last one.
  status=$(get job "$job" --output 'jsonpath=Job {.status.conditions[?(@.status=="True")].type}') || continue
  pods=$(get pods --selector "job-name=$job" --sort-by .metadata.creationTimestamp \
    --no-headers --output "custom-columns=$columns") || continue
  # shellcheck disable=SC2046 # three words: name, start, exit code
  set -- $(echo "$pods" | tail -n 1)
  case "$*" in
    '' | *' <none> <none>') # `kubectl logs` would fail before the container exists, and print nothing before it has a node.
      polls=$((polls + 1))
      [ $((polls % 30)) != 0 ] ||
        echo "$job has not started: ${1-no pod yet (kubectl describe job)} ${1:+$(get pod "$1" --output "jsonpath=$reason")}" >&2
      ;;
    *)
      lines=-1
      [ "$1" != "$followed" ] || lines=0 # the connection broke, or the Job is about to end
      ! kubectl logs --namespace "$namespace" --follow --tail "$lines" "$1" || followed=$1
      [ "$3" = '<none>' ] || code=$3
      ;;
  esac
  case $status in
    *Complete*) exit 0 ;;
    *Failed*)
      [ "$code" ] || echo "$job failed, and has no pod with an exit code (kubectl describe job)" >&2
      exit "${code:-1}"
      ;;
    '') echo "$job was deleted" >&2 && exit 1 ;;
  esac
done
