#!/bin/sh
# Installs everything on kind and ships one Order: registry, cluster, image, both charts.
# `make kind` runs it; it can run again. Needs docker, kind 0.27 or newer, kubectl and helm.
set -eu
cd "$(dirname "$0")/../.."

for program in docker kind kubectl helm; do
  command -v "$program" >/dev/null || { echo "kind: $program isn't installed" >&2; exit 1; }
done

cluster=orderfleet context=kind-orderfleet namespace=orderfleet registry=orderfleet-registry port=5001
registry_image=registry:2@sha256:a3d8aaa63ed8681a604f1dea0aa03f100d5895b6a58ace528858a7b332415373
k() { kubectl --context "$context" --namespace "$namespace" "$@"; }
h() { helm --kube-context "$context" --namespace "$namespace" "$@"; }

[ "$(docker inspect -f '{{.State.Running}}' $registry 2>/dev/null)" = true ] ||
  docker run -d --restart=always -p "127.0.0.1:$port:5000" --network bridge --name $registry $registry_image

kind get clusters 2>/dev/null | grep -qx $cluster || kind create cluster --config kind-config.yaml

# `localhost` inside a node is not this machine: configure the address of the registry in the node.
for node in $(kind get nodes --name $cluster); do
  folder="/etc/containerd/certs.d/localhost:$port"
  docker exec "$node" mkdir -p "$folder"
  printf '[host."http://%s:5000"]\n' $registry | docker exec -i "$node" cp /dev/stdin "$folder/hosts.toml"
done
docker network connect kind $registry 2>/dev/null || true
kubectl --context $context apply -f - <<YAML
apiVersion: v1
kind: ConfigMap
metadata: {name: local-registry-hosting, namespace: kube-public}
data: {localRegistryHosting.v1: "host: \"localhost:$port\""}
YAML

docker build -f deploy/Dockerfile -t localhost:$port/orderfleet:dev .
docker push localhost:$port/orderfleet:dev

h upgrade --install backing charts/orderfleet-dev -f deploy/kind/backing.yaml --create-namespace --wait --timeout 5m
h upgrade --install orderfleet charts/orderfleet -f deploy/kind/product.yaml --wait --timeout 5m

# Applying the same Order again changes nothing.
k apply -f deploy/samples/order.yaml
k wait --for=jsonpath='{.status.workflowId}' orders.orderfleet.dev/demo-1 --timeout=60s
k patch orders.orderfleet.dev demo-1 --type merge -p '{"spec":{"approved":true}}'
k wait --for=condition=Ready orders.orderfleet.dev/demo-1 --timeout=60s
k get orders.orderfleet.dev
echo "API http://127.0.0.1:8000/docs · Temporal http://127.0.0.1:8233 · Grafana http://127.0.0.1:3000 · make kind-down"
