// Command peer is what Bindery is measured against: a provisioner as most of them are, a few lines around
// sig-storage-lib-external-provisioner. It sees claims through a watch, makes a directory on a share that is mounted for
// it, and creates the volume; binding is the controller manager's. The limits are the library's and client-go's own:
// four workers, 5 requests a second, bursts of 10. It does what nfs-subdir-external-provisioner 4.0.2 does for a claim,
// and no more, so it is not slower than that.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// share is an NFS export, and where it is mounted.
type share struct {
	client               kubernetes.Interface
	server, path, folder string
}

// Provision makes the claim's directory, open to everybody whatever the umask.
func (s share) Provision(_ context.Context, o controller.ProvisionOptions) (*core.PersistentVolume, controller.ProvisioningState, error) {
	name := o.PVC.Namespace + "-" + o.PVC.Name + "-" + o.PVName
	folder := filepath.Join(s.folder, name)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := os.Chmod(folder, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: o.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			MountOptions:                  o.StorageClass.MountOptions,
			Capacity:                      core.ResourceList{core.ResourceStorage: o.PVC.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeSource: core.PersistentVolumeSource{
				NFS: &core.NFSVolumeSource{Server: s.server, Path: filepath.Join(s.path, name)},
			},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete removes the volume's directory or renames it, as its class says at that moment.
func (s share) Delete(ctx context.Context, volume *core.PersistentVolume) error {
	name := filepath.Base(volume.Spec.NFS.Path)
	class, err := s.client.StorageV1().StorageClasses().Get(ctx, volume.Spec.StorageClassName, meta.GetOptions{})
	if err != nil {
		return err
	}
	archive := true
	if written, is := class.Parameters["archiveOnDelete"]; is {
		if archive, err = strconv.ParseBool(written); err != nil {
			return err
		}
	}
	if archive {
		return os.Rename(filepath.Join(s.folder, name), filepath.Join(s.folder, "archived-"+name))
	}
	return os.RemoveAll(filepath.Join(s.folder, name))
}

func main() {
	var s share
	kubeconfig := flag.String("kubeconfig", "", "the cluster, and who to be there")
	provisioner := flag.String("provisioner", "", "the provisioner that classes name")
	namespace := flag.String("namespace", "", "where the Lease lives")
	flag.StringVar(&s.server, "server", "", "the NFS server, for volumes")
	flag.StringVar(&s.path, "path", "", "its export, for volumes")
	flag.StringVar(&s.folder, "folder", "", "where that is mounted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		klog.Fatal(err)
	}
	s.client = kubernetes.NewForConfigOrDie(config)
	controller.NewProvisionController(ctx, s.client, *provisioner, s, controller.LeaderElectionNamespace(*namespace)).Run(ctx)
}
