//! A cluster starts, runs real commands for two kubectls over both transports, and ends with the test.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use doorward_testkit::{Cluster, Kubectl, KubectlRelease, cache_dir};
use rustix::process::{Pid, Signal};

const NAMESPACE: &str = "first";
const LIMIT: Duration = Duration::from_secs(60);

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: web, labels: { app: web, environment: prod } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: example.com/web:1
    stdin: true
    command: [sh, -c, "echo started; trap exit TERM; while read line; do echo heard $line; done"]
    env: [{ name: COLOUR, value: blue }]
---
apiVersion: v1
kind: Pod
metadata: { name: tool, labels: { app: tool, environment: dev } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: example.com/tool:1
    securityContext: { privileged: true }
  - { name: other, image: "example.com/other:1", command: [sleep, infinity] }
"#;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A kubectl that goes on by itself, killed when dropped.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, lines })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !holds()? {
        ensure!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn exec(kubectl: &Kubectl) -> Result<()> {
    let output = kubectl.output(&["exec", "-n", NAMESPACE, "web", "--", "echo", "hi"])?;
    assert_eq!((text(&output.stdout), output.status.code()), ("hi\n".to_owned(), Some(0)), "{}", text(&output.stderr));
    let script = "echo $COLOUR; hostname; echo oops >&2; exit 7";
    let output = kubectl.output(&["exec", "-n", NAMESPACE, "web", "--", "sh", "-c", script])?;
    let errors = text(&output.stderr);
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("blue\nweb\n", Some(7)), "{errors}");
    assert!(errors.starts_with("oops\n") && errors.contains("exit code 7"), "{errors}");
    let mebibyte = vec![b'x'; 1 << 20];
    let output = kubectl.output_with(&["exec", "-i", "-n", NAMESPACE, "web", "--", "cat"], &mebibyte)?;
    assert!(output.stdout == mebibyte, "{} bytes came back: {}", output.stdout.len(), text(&output.stderr));
    Ok(())
}

fn copy(cluster: &Cluster, kubectl: &Kubectl, name: &str) -> Result<()> {
    let (there, back) = (cluster.directory().join("there"), cluster.directory().join(name));
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&there, &content)?;
    let inside = format!("{NAMESPACE}/tool:/tmp/{name}");
    kubectl.run(&["cp", "-c", "other", there.to_str().unwrap(), &inside])?;
    kubectl.run(&["cp", "-c", "other", &inside, back.to_str().unwrap()])?;
    assert!(fs::read(back)? == content);
    Ok(())
}

fn forward(kubectl: &Kubectl) -> Result<()> {
    // Containers share the machine's network, so that the far end may as well be here.
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let far = server.local_addr()?.port();
    let echo = thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = server.accept()?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard)?;
        stream.write_all(&heard)
    });
    let mut running =
        Running::start(&mut kubectl.command(&["port-forward", "-n", NAMESPACE, "pod/web", &format!(":{far}")]))?;
    let line = running.line()?;
    let near = line.split_whitespace().nth(2).and_then(|address| address.rsplit_once(':')).context(line.clone())?.1;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, near.parse()?))?;
    let said = vec![b'y'; 1 << 20];
    stream.write_all(&said)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard)?;
    assert!(heard == said, "{} bytes came back", heard.len());
    echo.join().unwrap()?;
    Ok(())
}

fn attach(kubectl: &Kubectl, word: &str) -> Result<()> {
    let mut running = Running::start(&mut kubectl.command(&["attach", "-i", "-n", NAMESPACE, "web"]))?;
    let mut stdin = running.child.stdin.take().context("no input")?;
    writeln!(stdin, "{word}")?;
    assert_eq!(running.line()?, format!("heard {word}"));
    Ok(())
}

fn logs(kubectl: &Kubectl) -> Result<()> {
    let mut running = Running::start(&mut kubectl.command(&["logs", "-f", "-n", NAMESPACE, "web"]))?;
    assert_eq!(running.line()?, "started");
    Ok(())
}

/// What is the same for each kubectl.
fn everything(cluster: &Cluster, kubectl: &Kubectl, name: &str) -> Result<()> {
    exec(kubectl).with_context(|| format!("exec {name}"))?;
    copy(cluster, kubectl, name).with_context(|| format!("cp {name}"))?;
    forward(kubectl).with_context(|| format!("port-forward {name}"))?;
    attach(kubectl, name).with_context(|| format!("attach {name}"))
}

fn debug(kubectl: &Kubectl) -> Result<()> {
    let image = "--image=example.com/debug:1";
    let sleep = ["--", "sleep", "infinity"];
    let base = ["debug", "-n", NAMESPACE, "web", image, "--container=debugger", "--target=main", "--profile=general"];
    kubectl.run(&[base.as_slice(), &sleep].concat())?;
    let path = "jsonpath={.status.ephemeralContainerStatuses[0].state.running.startedAt}";
    until("the ephemeral container runs", || {
        Ok(!kubectl.run(&["get", "pod", "-n", NAMESPACE, "web", "-o", path])?.is_empty())
    })?;
    let seen = kubectl.run(&["exec", "-n", NAMESPACE, "web", "-c", "debugger", "--", "cat", "/proc/1/cmdline"])?;
    assert!(seen.contains("trap exit TERM"), "the process tree is not the target's: {seen}");
    Ok(())
}

fn watch_and_scale(kubectl: &Kubectl) -> Result<()> {
    let mut watch = Running::start(&mut kubectl.command(&[
        "get",
        "deployment",
        "-n",
        NAMESPACE,
        "-w",
        "-o",
        "jsonpath={.spec.replicas} {.status.readyReplicas}{\"\\n\"}",
    ]))?;
    kubectl.run(&["create", "deployment", "-n", NAMESPACE, "app", "--image=example.com/app:1"])?;
    while watch.line()? != "1 1" {}
    kubectl.run(&["scale", "deployment", "-n", NAMESPACE, "app", "--replicas=2"])?;
    while watch.line()? != "2 2" {}
    kubectl.run(&["delete", "deployment", "-n", NAMESPACE, "app"])?;
    Ok(())
}

fn a_token_may_what_its_role_may(cluster: &Cluster) -> Result<()> {
    let token = cluster.service_account_token("second", "reader", "view")?;
    let kubeconfig = cluster.token_kubeconfig("reader", &cluster.url(), cluster.ca_file(), &token)?;
    let reader = cluster.kubectl()?.kubeconfig(&kubeconfig);
    assert!(reader.run(&["get", "pods", "-n", NAMESPACE])?.contains("web"));
    let refusal = reader.run(&["exec", "-n", NAMESPACE, "web", "--", "true"]).unwrap_err().to_string();
    assert!(refusal.contains("Forbidden") || refusal.contains("forbidden"), "{refusal}");
    let audit = fs::read_to_string(cluster.audit_log())?;
    assert!(audit.contains("system:serviceaccount:second:reader") && audit.contains("\"code\":403"));
    Ok(())
}

#[test]
fn a_cluster_runs_real_commands() -> Result<()> {
    let begun = Instant::now();
    let cluster = Cluster::start()?;
    println!("the cluster was ready after {:?}", begun.elapsed());
    runs_real_commands(cluster)
}

#[test]
#[ignore = "needs `e2e/kubernetes/build .cache/kubernetes .cache/kubernetes-older`"]
fn an_older_api_server_does_too() -> Result<()> {
    runs_real_commands(Cluster::options().programs(cache_dir().join("kubernetes-older"), "1.34").start()?)
}

fn runs_real_commands(mut cluster: Cluster) -> Result<()> {
    let kubectl = cluster.kubectl()?;
    kubectl.run(&["create", "namespace", NAMESPACE])?;
    // The controllers make it, a moment later.
    until("a service account", || Ok(kubectl.run(&["get", "serviceaccount", "-n", NAMESPACE, "default"]).is_ok()))?;
    let manifest = cluster.directory().join("pods.yaml");
    fs::write(&manifest, PODS)?;
    kubectl.run(&["apply", "-n", NAMESPACE, "-f", manifest.to_str().unwrap()])?;
    kubectl.run(&["wait", "-n", NAMESPACE, "--for=condition=Ready", "--timeout=60s", "pod", "--all"])?;

    logs(&kubectl)?;
    everything(&cluster, &kubectl, "websocket")?;
    everything(&cluster, &cluster.kubectl()?.over_spdy(), "spdy")?;
    everything(&cluster, &cluster.kubectl_of(KubectlRelease::Debian)?, "debian")?;
    debug(&kubectl)?;
    watch_and_scale(&kubectl)?;
    a_token_may_what_its_role_may(&cluster)?;

    kubectl.run(&[
        "exec",
        "-n",
        NAMESPACE,
        "tool",
        "-c",
        "other",
        "--",
        "sh",
        "-c",
        "sleep 7654321 > /dev/null 2>&1 &",
    ])?;
    let left = || -> Vec<Pid> { processes("sleep\x007654321\x00") };
    until("the background process runs", || Ok(left().len() == 1))?;
    cluster.node().signal(Signal::KILL)?;
    until("the containers end with their node", || Ok(left().is_empty()))?;
    let directory = cluster.directory().to_owned();
    drop(cluster);
    assert!(!directory.exists());
    Ok(())
}

/// The processes with this command line, as `/proc` writes it.
fn processes(command_line: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let matching =
        entries.filter(|entry| fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|is| is == command_line));
    matching.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// `cargo test -p doorward-testkit --test kubernetes -- --ignored --nocapture`; ends with the test, by Ctrl-C for one.
#[test]
#[ignore = "for trying things by hand; runs for an hour"]
fn a_cluster_to_try_by_hand() -> Result<()> {
    let cluster = Cluster::start()?;
    println!("export KUBECONFIG={}", cluster.admin_kubeconfig().display());
    let deadline = Instant::now() + Duration::from_secs(3600);
    while Instant::now() < deadline && !cluster.directory().join("stop").exists() {
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
