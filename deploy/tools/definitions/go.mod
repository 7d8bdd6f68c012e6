// Resource definitions of other products, which the charts' tests take out of these modules. Nothing is built.
module orderfleet/tools/definitions

go 1.26.0

require (
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.4.0
)
