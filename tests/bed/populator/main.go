// Command populator runs the library of the Kubernetes project for volume populators, for the kind Hello of the group that
// the test names. Its pods do nothing: the test sets their phase, as a kubelet does when their containers have ended.
package main

import (
	"flag"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	machinery "github.com/kubernetes-csi/lib-volume-populator/populator-machinery"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the kubeconfig of a user who may do all that a populator does")
	namespace := flag.String("namespace", "", "the namespace of its pods and of their claims")
	group := flag.String("group", "", "the API group of the kind")
	flag.Parse()
	kind := schema.GroupKind{Group: *group, Kind: "Hello"}
	resource := schema.GroupVersionResource{Group: *group, Version: "v1", Resource: "hellos"}
	arguments := func(bool, *unstructured.Unstructured) ([]string, error) { return nil, nil }
	machinery.RunController("", *kubeconfig, "example.com/populator:1", "", "/metrics", *namespace, *group,
		kind, resource, "/mnt", "/dev/block", arguments)
}
