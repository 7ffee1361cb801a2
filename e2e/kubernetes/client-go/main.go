// client-go through the gateway.
//
// Behind the scenes: HTTP/2 for requests and watches, protobuf where the type has it (asked for here, as controllers do),
// CBOR never unless a feature gate asks. The informer is a WatchList or a list with a watch after it. Exec tries WebSocket
// (`v5.channel.k8s.io`) and falls back to SPDY/3.1; port-forward tunnels SPDY frames through a WebSocket
// (`SPDY/3.1+portforward.k8s.io`), or is SPDY itself (`portforward.k8s.io`).
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/httpstream"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
)

const limit = 60 * time.Second

type program struct {
	config    *rest.Config
	client    *kubernetes.Clientset
	namespace string
	name, pod string
}

func token() (string, error) {
	if file := os.Getenv("DOORWARD_TOKEN_FILE"); file != "" {
		token, err := os.ReadFile(file)
		return strings.TrimSpace(string(token)), err
	}
	return os.Getenv("E2E_KUBE_TOKEN"), nil
}

func configuration(token string) *rest.Config {
	return &rest.Config{
		Host:            os.Getenv("E2E_KUBE_SERVER"),
		BearerToken:     token,
		TLSClientConfig: rest.TLSClientConfig{CAFile: os.Getenv("E2E_KUBE_CA")},
		ContentConfig:   rest.ContentConfig{ContentType: "application/vnd.kubernetes.protobuf", AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json"},
		QPS:             100, Burst: 200,
	}
}

func expect(expected, actual any) error {
	if fmt.Sprint(expected) != fmt.Sprint(actual) {
		return fmt.Errorf("expected %.200q, got %.200q", fmt.Sprint(expected), fmt.Sprint(actual))
	}
	return nil
}

func (p *program) wrongToken(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(configuration("wrong"))
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{})
	if !apierrors.IsUnauthorized(err) {
		return fmt.Errorf("not refused: %v", err)
	}
	return nil
}

func (p *program) discovery(context.Context) error {
	version, err := p.client.Discovery().ServerVersion()
	if err != nil {
		return err
	}
	_, resources, err := p.client.Discovery().ServerGroupsAndResources()
	if len(resources) < 10 {
		return fmt.Errorf("only %d groups", len(resources))
	}
	return errors.Join(err, expect("1", version.Major))
}

func (p *program) configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": p.name}}, Data: map[string]string{"a": "ü"}}
}

func (p *program) objects(ctx context.Context) error {
	maps, name := p.client.CoreV1().ConfigMaps(p.namespace), p.name+"-config"
	if _, err := maps.Create(ctx, p.configMap(name), metav1.CreateOptions{}); err != nil {
		return err
	}
	_, merge := maps.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"b":"2"}}`), metav1.PatchOptions{})
	_, strategic := maps.Patch(ctx, name, types.StrategicMergePatchType, []byte(`{"data":{"c":"3"}}`), metav1.PatchOptions{})
	_, jsonPatch := maps.Patch(ctx, name, types.JSONPatchType, []byte(`[{"op":"add","path":"/data/d","value":"4"}]`), metav1.PatchOptions{})
	apply := applycore.ConfigMap(name, p.namespace).WithData(map[string]string{"e": "5"})
	applied, applyErr := maps.Apply(ctx, apply, metav1.ApplyOptions{FieldManager: "e2e"})
	dry, dryErr := maps.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"z":"0"}}`), metav1.PatchOptions{DryRun: []string{"All"}})
	if err := errors.Join(merge, strategic, jsonPatch, applyErr, dryErr); err != nil {
		return err
	}
	err := errors.Join(expect(5, len(applied.Data)), expect(6, len(dry.Data)))
	return errors.Join(err, maps.Delete(ctx, name, metav1.DeleteOptions{}))
}

// informer sees what was there, what comes and what goes.
func (p *program) informer(ctx context.Context) error {
	maps, name := p.client.CoreV1().ConfigMaps(p.namespace), p.name+"-informer"
	tweak := informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = "app=" + p.name })
	factory := informers.NewSharedInformerFactoryWithOptions(p.client, 0, informers.WithNamespace(p.namespace), tweak)
	events := make(chan string, 10)
	tell := func(kind string, object any) { events <- kind + " " + object.(*corev1.ConfigMap).Data["a"] }
	_, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { tell("add", object) },
		UpdateFunc: func(_, object any) { tell("update", object) },
		DeleteFunc: func(object any) { tell("delete", object) },
	})
	if err != nil {
		return err
	}
	if _, err := maps.Create(ctx, p.configMap(name), metav1.CreateOptions{}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%s is not in step", kind)
		}
	}
	_, err = maps.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"a":"2"}}`), metav1.PatchOptions{})
	err = errors.Join(err, maps.Delete(ctx, name, metav1.DeleteOptions{}))
	for _, expected := range []string{"add ü", "update 2", "delete 2"} {
		select {
		case event := <-events:
			err = errors.Join(err, expect(expected, event))
		case <-time.After(limit):
			return errors.Join(err, fmt.Errorf("no `%s`", expected))
		}
	}
	return err
}

func (p *program) makePod(ctx context.Context) error {
	grace := int64(1)
	pods := p.client.CoreV1().Pods(p.namespace)
	_, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.pod},
		Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &grace, Containers: []corev1.Container{{
			Name: "main", Image: "sh", Stdin: true,
			Command: []string{"sh", "-c", "echo started; trap exit TERM; while read line; do echo heard $line; done"},
		}}},
	}, metav1.CreateOptions{})
	for err == nil {
		var pod *corev1.Pod
		if pod, err = pods.Get(ctx, p.pod, metav1.GetOptions{}); err == nil && pod.Status.Phase == corev1.PodRunning {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the pod does not run")
		case <-time.After(100 * time.Millisecond):
		}
	}
	return err
}

func (p *program) logs(ctx context.Context) error {
	stream, err := p.client.CoreV1().Pods(p.namespace).GetLogs(p.pod, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	line := make([]byte, len("started\n"))
	_, err = io.ReadFull(stream, line)
	return errors.Join(err, expect("started\n", string(line)))
}

func (p *program) url(subresource string) *rest.Request {
	return p.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(p.namespace).Name(p.pod).SubResource(subresource)
}

// executor speaks WebSocket, SPDY, or the first with the second to fall back to, as kubectl has it.
func (p *program) executor(transport string, target *url.URL) (remotecommand.Executor, error) {
	socket, err := remotecommand.NewWebSocketExecutor(p.config, "GET", target.String())
	if err != nil || transport == "websocket" {
		return socket, err
	}
	old, err := remotecommand.NewSPDYExecutor(p.config, "POST", target)
	if err != nil || transport == "spdy" {
		return old, err
	}
	return remotecommand.NewFallbackExecutor(socket, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}

func (p *program) run(ctx context.Context, transport string, stdin io.Reader, command string) (string, string, int, error) {
	options := &corev1.PodExecOptions{Command: []string{"sh", "-c", command}, Stdin: stdin != nil, Stdout: true, Stderr: true}
	executor, err := p.executor(transport, p.url("exec").VersionedParams(options, scheme.ParameterCodec).URL())
	if err != nil {
		return "", "", 0, err
	}
	var out, errs bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: &out, Stderr: &errs})
	var exit utilexec.CodeExitError
	if errors.As(err, &exit) {
		return out.String(), errs.String(), exit.Code, nil
	}
	return out.String(), errs.String(), 0, err
}

func (p *program) exec(transport string) func(context.Context) error {
	return func(ctx context.Context) error {
		out, errs, code, err := p.run(ctx, transport, nil, `printf 'out \303\274\n'; printf 'err\n' >&2; exit 7`)
		if err := errors.Join(err, expect("out ü\nerr\n7", fmt.Sprint(out, errs, code))); err != nil {
			return err
		}
		mebibyte := strings.Repeat("0123456789abcde\n", 1<<16)
		out, _, code, err = p.run(ctx, transport, strings.NewReader(mebibyte), "cat")
		if out != mebibyte {
			err = errors.Join(err, fmt.Errorf("%d bytes came back of %d", len(out), len(mebibyte)))
		}
		return errors.Join(err, expect(0, code))
	}
}

type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	size, more := <-s
	if !more {
		return nil
	}
	return &size
}

func (p *program) terminal(ctx context.Context) error {
	options := &corev1.PodExecOptions{Command: []string{"sh", "-c", "read line; stty size"}, Stdin: true, Stdout: true, TTY: true}
	executor, err := p.executor("fallback", p.url("exec").VersionedParams(options, scheme.ParameterCodec).URL())
	if err != nil {
		return err
	}
	queue := make(sizes, 1)
	queue <- remotecommand.TerminalSize{Width: 101, Height: 42}
	in, type_ := io.Pipe()
	go func() {
		time.Sleep(500 * time.Millisecond)
		fmt.Fprintln(type_, "go")
	}()
	var out bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: in, Stdout: &out, Tty: true, TerminalSizeQueue: queue})
	return errors.Join(err, expect("go\r\n42 101\r\n", out.String()))
}

func (p *program) attach(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	executor, err := p.executor("fallback", p.url("attach").VersionedParams(&corev1.PodAttachOptions{Stdin: true, Stdout: true}, scheme.ParameterCodec).URL())
	if err != nil {
		return err
	}
	in, write := io.Pipe()
	read, out := io.Pipe()
	go executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: in, Stdout: out})
	fmt.Fprintln(write, "me")
	line := make([]byte, len("heard me\n"))
	_, err = io.ReadFull(read, line)
	return errors.Join(err, expect("heard me\n", string(line)))
}

func (p *program) dialer(transport string) (httpstream.Dialer, error) {
	target := p.url("portforward").URL()
	if transport == "websocket" {
		return portforward.NewSPDYOverWebsocketDialer(target, p.config)
	}
	round, upgrader, err := spdy.RoundTripperFor(p.config)
	return spdy.NewDialer(upgrader, &http.Client{Transport: round}, "POST", target), err
}

func (p *program) forward(transport string) func(context.Context) error {
	return func(context.Context) error {
		// Containers share the machine's network.
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20)) }))
		defer server.Close()
		dialer, err := p.dialer(transport)
		if err != nil {
			return err
		}
		_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
		stop, ready := make(chan struct{}), make(chan struct{})
		forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:" + port}, stop, ready, io.Discard, io.Discard)
		if err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- forwarder.ForwardPorts() }()
		select {
		case err := <-ended:
			return err
		case <-ready:
		case <-time.After(limit):
			return errors.New("never ready")
		}
		defer close(stop)
		ports, err := forwarder.GetPorts()
		if err != nil {
			return err
		}
		for range 3 {
			reply, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", ports[0].Local))
			if err != nil {
				return err
			}
			body, err := io.ReadAll(reply.Body)
			reply.Body.Close()
			if err := errors.Join(err, expect(1<<20, len(body))); err != nil {
				return err
			}
		}
		return nil
	}
}

func main() {
	token, err := token()
	if err != nil {
		fmt.Printf("FAIL token: %v\n", err)
		os.Exit(1)
	}
	p := &program{config: configuration(token), namespace: os.Getenv("E2E_KUBE_NAMESPACE"), name: fmt.Sprintf("e2e-go-%d", os.Getpid())}
	if p.namespace == "" {
		p.namespace = "default"
	}
	p.pod = p.name + "-pod"
	if p.client, err = kubernetes.NewForConfig(p.config); err != nil {
		fmt.Printf("FAIL connect: %v\n", err)
		os.Exit(1)
	}
	failed := false
	for _, check := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"wrong-token", p.wrongToken}, {"discovery", p.discovery}, {"objects", p.objects}, {"informer", p.informer},
		{"pod", p.makePod}, {"logs", p.logs}, {"exec-websocket", p.exec("websocket")}, {"exec-spdy", p.exec("spdy")},
		{"exec-fallback", p.exec("fallback")}, {"terminal", p.terminal}, {"attach", p.attach},
		{"forward-websocket", p.forward("websocket")}, {"forward-spdy", p.forward("spdy")},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		err := check.run(ctx)
		cancel()
		if err == nil {
			fmt.Println("ok", check.name)
			continue
		}
		failed = true
		fmt.Printf("FAIL %s: %s\n", check.name, strings.ReplaceAll(fmt.Sprintf("%.400s", err), "\n", " "))
	}
	zero := int64(0)
	p.client.CoreV1().Pods(p.namespace).Delete(context.Background(), p.pod, metav1.DeleteOptions{GracePeriodSeconds: &zero})
	if failed {
		os.Exit(1)
	}
}
