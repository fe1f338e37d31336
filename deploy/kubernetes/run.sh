#!/bin/sh
# Runs one command of customer-sync in the cluster and follows its log; the exit code is the command's:
#   deploy/kubernetes/run.sh backfill --page 104438651290000
# NAMESPACE is the namespace of the CronJobs, by default customer-sync.
set -eu
namespace=${NAMESPACE:-customer-sync}
job=customer-sync-manual-$(date +%s)

arguments=
for argument; do
  arguments="$arguments, \"$(printf %s "$argument" | sed 's/[\\"]/\\&/g')\""
done
# `kubectl create job` cannot change arguments.
change="[{\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/args\", \"value\": [${arguments#, }]}]"
kubectl create job "$job" --namespace "$namespace" --from cronjob/customer-sync-manual --dry-run=client --output json |
  kubectl patch --local --filename - --type json --patch "$change" --output json |
  kubectl create --filename - >&2

kubectl logs --namespace "$namespace" --follow --pod-running-timeout 5m "job/$job"
code=
while [ -z "$code" ]; do
  sleep 1
  code=$(kubectl get pods --namespace "$namespace" --selector "job-name=$job" \
    --output 'jsonpath={.items[0].status.containerStatuses[0].state.terminated.exitCode}')
done
exit "$code"
