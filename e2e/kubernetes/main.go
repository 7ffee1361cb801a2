// One program that is each part of a Kubernetes cluster, by the name that it is called by: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler and kubelet.
//
// All but the last are what their own `main` makes of the module's code. They are linked together because they are
// mostly the same code: one link instead of five, and a fifth of the space. The kubelet is described in package node.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // For CronJobs, as the API server's own main has it.

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"doorward.invalid/e2e-kubernetes/node"
)

func main() {
	commands := map[string]func() *cobra.Command{
		"kube-apiserver":          apiserver.NewAPIServerCommand,
		"kube-controller-manager": controllers.NewControllerManagerCommand,
		"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
		"kubelet":                 node.NewCommand,
	}
	name := filepath.Base(os.Args[0])
	switch {
	case name == "etcd":
		etcdmain.Main(os.Args)
	case name == node.InitName:
		node.Init()
	case commands[name] != nil:
		os.Exit(cli.Run(commands[name]()))
	default:
		fmt.Fprintf(os.Stderr, "`%s` is none of the parts: call this program by the name of one\n", name)
		os.Exit(2)
	}
}
