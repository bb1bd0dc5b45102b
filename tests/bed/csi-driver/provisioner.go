package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	library "sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// provisioner creates and deletes volumes. The library decides which: it is also that of external-provisioner. As in
// csi-driver-nfs, the id of a volume says what is deleted.
type provisioner struct {
	// The folder of the share on this machine.
	export string
}

func runProvisioner(kubeconfig, export string) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(config)
	ctx := context.Background()
	library.NewProvisionController(ctx, client, driver, provisioner{export},
		library.LeaderElection(false), library.AddFinalizer(true)).Run(ctx)
}

func (p provisioner) Provision(_ context.Context, options library.ProvisionOptions) (*core.PersistentVolume, library.ProvisioningState, error) {
	class, name := options.StorageClass, options.PVName
	server, share, onDelete := class.Parameters["server"], class.Parameters["share"], class.Parameters["onDelete"]
	log.Printf("provision %s", name)
	if err := os.Mkdir(filepath.Join(p.export, name), 0o777); err != nil && !os.IsExist(err) {
		return nil, library.ProvisioningFinished, err
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			AccessModes:                   options.PVC.Spec.AccessModes,
			MountOptions:                  class.MountOptions,
			Capacity:                      core.ResourceList{core.ResourceStorage: options.PVC.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeSource: core.PersistentVolumeSource{CSI: &core.CSIPersistentVolumeSource{
				Driver:           driver,
				VolumeHandle:     strings.Join([]string{server, strings.Trim(share, "/"), name, "", onDelete}, "#"),
				VolumeAttributes: map[string]string{"server": server, "share": share, "subdir": name},
			}},
		},
	}, library.ProvisioningFinished, nil
}

func (p provisioner) Delete(_ context.Context, volume *core.PersistentVolume) error {
	id := volume.Spec.CSI.VolumeHandle
	log.Printf("delete %s", id)
	parts := strings.Split(id, "#")
	if len(parts) != 5 || parts[2] == "" {
		return fmt.Errorf("the id %s has another form", id)
	}
	directory := filepath.Join(p.export, parts[2])
	switch parts[4] {
	case "retain":
		return nil
	case "archive":
		return os.Rename(directory, filepath.Join(p.export, "archived-"+parts[2]))
	default:
		return os.RemoveAll(directory)
	}
}
