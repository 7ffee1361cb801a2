//! kube-rs through the gateway, with rustls.
//!
//! Behind the scenes: HTTP/1.1 and JSON by hyper. `watcher` lists in pages of 500 (`limit`, `continue`,
//! `resourceVersionMatch`), then watches with bookmarks; `streaming_lists` asks for the list as a watch
//! (`sendInitialEvents`). Apply is a PATCH of `application/apply-patch+yaml` whose body is JSON. Exec and port-forward are
//! WebSockets that offer `v5.channel.k8s.io` and `v4.channel.k8s.io`.

use std::env;
use std::fs;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Config, Error};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

struct Program {
    maps: Api<ConfigMap>,
    pods: Api<Pod>,
    wrong: Api<Pod>,
    name: String,
    pod: String,
}

fn client(token: &str) -> Result<Client> {
    let server = env::var("E2E_KUBE_SERVER").context("E2E_KUBE_SERVER is not set")?;
    let mut config = Config::new(server.parse()?);
    config.root_cert_file = Some(env::var("E2E_KUBE_CA").context("E2E_KUBE_CA is not set")?.into());
    config.auth_info.token = Some(token.to_owned().into());
    Ok(Client::try_from(config)?)
}

fn code<T>(outcome: Result<T, Error>) -> u16 {
    match outcome {
        Ok(_) => 200,
        Err(Error::Api(status)) => status.code,
        Err(_) => 0,
    }
}

fn exit_code(status: Option<Status>) -> Option<i32> {
    let status = status?;
    if status.status.as_deref() == Some("Success") {
        return Some(0);
    }
    let cause = status.details?.causes?.into_iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    cause.message?.parse().ok()
}

impl Program {
    async fn wrong_token(&self) -> Result<()> {
        let found = code(self.wrong.list(&ListParams::default()).await);
        ensure!(found == 401, "{found}");
        Ok(())
    }

    async fn objects(&self) -> Result<()> {
        let map: ConfigMap =
            serde_json::from_value(json!({ "metadata": { "name": self.name }, "data": { "a": "ü" } }))?;
        self.maps.create(&PostParams::default(), &map).await?;
        let again = code(self.maps.create(&PostParams::default(), &map).await);
        ensure!(again == 409, "created twice: {again}");
        let applied = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "b": "2" } });
        let by = PatchParams::apply("e2e");
        self.maps.patch(&self.name, &by, &Patch::Apply(&applied)).await?;
        let merge = json!({ "data": { "c": "3" } });
        self.maps.patch(&self.name, &PatchParams::default(), &Patch::Merge(&merge)).await?;
        let strategic = json!({ "metadata": { "labels": { "e2e": self.name } } });
        self.maps.patch(&self.name, &PatchParams::default(), &Patch::Strategic(&strategic)).await?;
        let listed = self.maps.list(&ListParams::default().labels(&format!("e2e={}", self.name))).await?;
        let data = listed.items.first().and_then(|map| map.data.clone()).context("nothing is listed")?;
        ensure!(json!(data) == json!({ "a": "ü", "b": "2", "c": "3" }), "{data:?}");
        let kept = self.maps.get_metadata(&self.name).await?;
        ensure!(kept.metadata.name.as_deref() == Some(&self.name), "{kept:?}");
        self.maps.delete(&self.name, &DeleteParams::default()).await?;
        let gone = code(self.maps.get(&self.name).await);
        ensure!(gone == 404, "{gone}");
        Ok(())
    }

    async fn watcher(&self, how: watcher::Config) -> Result<()> {
        let name = format!("{}-watched", self.name);
        let how = how.fields(&format!("metadata.name={name}"));
        let mut events = pin!(watcher(self.maps.clone(), how).default_backoff());
        let mut seen = Vec::new();
        while seen.last() != Some(&"delete") {
            match timeout(LIMIT, events.try_next()).await.context("no event")??.context("the watch ended")? {
                watcher::Event::Init => seen.push("init"),
                watcher::Event::InitApply(_) => seen.push("init-apply"),
                watcher::Event::InitDone => {
                    seen.push("init-done");
                    let map: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
                    self.maps.create(&PostParams::default(), &map).await?;
                }
                watcher::Event::Apply(_) => {
                    seen.push("apply");
                    self.maps.delete(&name, &DeleteParams::default()).await?;
                }
                watcher::Event::Delete(_) => seen.push("delete"),
            }
        }
        ensure!(seen == ["init", "init-done", "apply", "delete"], "{seen:?}");
        Ok(())
    }

    async fn make_pod(&self) -> Result<()> {
        let command = ["sh", "-c", "echo started; trap exit TERM; while :; do sleep 0.1; done"];
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": self.pod },
            "spec": { "terminationGracePeriodSeconds": 1, "containers": [{ "name": "main", "image": "sh", "command": command }] },
        }))?;
        self.pods.create(&PostParams::default(), &pod).await?;
        let running = kube::runtime::conditions::is_pod_running();
        timeout(LIMIT, kube::runtime::wait::await_condition(self.pods.clone(), &self.pod, running)).await??;
        Ok(())
    }

    async fn logs(&self) -> Result<()> {
        let said = self.pods.logs(&self.pod, &LogParams::default()).await?;
        ensure!(said == "started\n", "{said:?}");
        Ok(())
    }

    async fn exec(&self) -> Result<()> {
        let command = ["sh", "-c", r"printf 'out \303\274\n'; printf 'err\n' >&2; exit 7"];
        let mut process = self.pods.exec(&self.pod, command, &AttachParams::default()).await?;
        let (mut out, mut err) = (String::new(), String::new());
        let status = process.take_status().context("no status")?;
        let (mut stdout, mut stderr) = (process.stdout().context("no output")?, process.stderr().context("no errors")?);
        let (read, read_err, status) =
            tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err), status);
        read?;
        read_err?;
        ensure!((out.as_str(), err.as_str(), exit_code(status)) == ("out ü\n", "err\n", Some(7)), "{out:?} {err:?}");
        Ok(())
    }

    async fn exec_stdin(&self) -> Result<()> {
        let mebibyte = "0123456789abcde\n".repeat(1 << 16);
        let how = AttachParams::default().stdin(true).stderr(false);
        // The size, because head leaves with it: not every protocol can say that the input ends.
        let mut process = self.pods.exec(&self.pod, ["head", "-c", "1048576"], &how).await?;
        let (mut stdin, mut stdout) = (process.stdin().context("no input")?, process.stdout().context("no output")?);
        let mut back = Vec::new();
        let write = async {
            stdin.write_all(mebibyte.as_bytes()).await?;
            stdin.flush().await
        };
        let (written, read) = tokio::join!(write, stdout.read_to_end(&mut back));
        written?;
        read?;
        ensure!(back == mebibyte.as_bytes(), "{} bytes came back", back.len());
        Ok(())
    }

    /// Containers share the machine's network, so that the far end may as well be here.
    async fn forward(&self) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let sent = "0123456789abcde\n".repeat(1 << 16);
        let far = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await?;
            let mut word = [0; 3];
            socket.read_exact(&mut word).await?;
            socket.write_all("0123456789abcde\n".repeat(1 << 16).as_bytes()).await?;
            socket.shutdown().await
        });
        let mut forwarder = self.pods.portforward(&self.pod, &[port]).await?;
        let mut stream = forwarder.take_stream(port).context("no stream")?;
        stream.write_all(b"go\n").await?;
        let mut back = vec![0; sent.len()];
        stream.read_exact(&mut back).await?;
        ensure!(back == sent.as_bytes(), "not what was sent");
        far.await??;
        Ok(())
    }
}

fn say(name: &str, outcome: Result<Result<()>, tokio::time::error::Elapsed>) -> bool {
    let outcome = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("out of time")));
    match &outcome {
        Ok(()) => println!("ok {name}"),
        Err(e) => {
            println!("FAIL {name}: {}", format!("{e:#}").replace('\n', " ").chars().take(400).collect::<String>())
        }
    }
    outcome.is_ok()
}

#[tokio::main]
async fn main() -> Result<()> {
    let token = match env::var("DOORWARD_TOKEN_FILE") {
        Ok(file) => fs::read_to_string(file)?.trim().to_owned(),
        Err(_) => env::var("E2E_KUBE_TOKEN").context("E2E_KUBE_TOKEN is not set")?,
    };
    let namespace = env::var("E2E_KUBE_NAMESPACE").unwrap_or_else(|_| "default".to_owned());
    let (right, wrong) = (client(&token)?, client("wrong")?);
    let name = format!("e2e-rs-{}", std::process::id());
    let p = Program {
        maps: Api::namespaced(right.clone(), &namespace),
        pods: Api::namespaced(right, &namespace),
        wrong: Api::namespaced(wrong, &namespace),
        pod: format!("{name}-pod"),
        name,
    };
    let paged = watcher::Config::default().page_size(1);
    let good = [
        say("wrong-token", timeout(LIMIT, p.wrong_token()).await),
        say("objects", timeout(LIMIT, p.objects()).await),
        say("watcher", timeout(LIMIT, p.watcher(paged)).await),
        say("watcher-streaming-list", timeout(LIMIT, p.watcher(watcher::Config::default().streaming_lists())).await),
        say("pod", timeout(LIMIT, p.make_pod()).await),
        say("logs", timeout(LIMIT, p.logs()).await),
        say("exec", timeout(LIMIT, p.exec()).await),
        say("exec-stdin", timeout(LIMIT, p.exec_stdin()).await),
        say("forward", timeout(LIMIT, p.forward()).await),
    ];
    let _gone = p.pods.delete(&p.pod, &DeleteParams::default().grace_period(0)).await;
    ensure!(good.iter().all(|good| *good), "not everything works");
    Ok(())
}
