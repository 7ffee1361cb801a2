//! Real parts: rsyslog of Debian over TLS, an S3-compatible server (gofakes3) that checks signatures by Amazon's signer.
//!
//! Needs `scripts/install-test-deps`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod common;
use common::{World, export, until};
use doorward_export::{Exporters, Format, S3Target, State, Target, TlsFiles};
use doorward_model::{AuditOutcome, Secret, Timestamp};
use doorward_testkit::{Authority, Process, ProcessSpec, cache_dir, free_port, wait_for_port};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(20);

/// rsyslog that writes what it gets to a file, one message a line.
struct Rsyslog {
    spec: ProcessSpec,
    dir: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Rsyslog {
    /// With `tls`, clients need a certificate of the authority too.
    fn prepare(dir: &Path, authority: Option<&Authority>) -> Self {
        let program = Path::new("/usr/sbin/rsyslogd");
        assert!(program.exists(), "rsyslog is missing: run `scripts/install-test-deps`");
        fs::create_dir_all(dir).unwrap();
        let port = free_port().unwrap();
        let out = dir.join("messages").display().to_string();
        let (global, module) = match authority {
            Some(a) => {
                let server = a.server("rsyslog").unwrap();
                (
                    format!(
                        "defaultNetstreamDriver=\"gtls\" defaultNetstreamDriverCAFile=\"{}\" \
                         defaultNetstreamDriverCertFile=\"{}\" defaultNetstreamDriverKeyFile=\"{}\"",
                        a.ca_file().display(),
                        server.cert.display(),
                        server.key.display()
                    ),
                    "StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"x509/certvalid\"",
                )
            }
            None => (String::new(), ""),
        };
        let conf = format!(
            "global(workDirectory=\"{dir}\" maxMessageSize=\"64k\" parser.escapeControlCharactersOnReceive=\"off\" {global})\n\
             module(load=\"imtcp\" {module} MaxSessions=\"500\")\n\
             template(name=\"all\" type=\"string\" string=\"%pri%|%timestamp:::date-rfc3339%|%hostname%|%app-name%|%msgid%|%structured-data%|%msg%\\n\")\n\
             ruleset(name=\"out\") {{ action(type=\"omfile\" file=\"{out}\" template=\"all\" asyncWriting=\"off\" flushOnTXEnd=\"on\") }}\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"out\" maxFrameSize=\"200000\")\n",
            dir = dir.display()
        );
        fs::write(dir.join("rsyslog.conf"), conf).unwrap();
        let spec =
            ProcessSpec::new(program).arg("-n").arg("-f").arg(dir.join("rsyslog.conf")).arg("-i").arg(dir.join("pid"));
        Self { spec, dir: dir.to_owned(), port, process: None }
    }

    fn start(&mut self) {
        self.process = Some(Process::start(self.spec.clone(), self.dir.join("log")).unwrap());
        if let Err(e) = wait_for_port(([127, 0, 0, 1], self.port).into(), LIMIT) {
            panic!("{e}: {}", fs::read_to_string(self.dir.join("log")).unwrap_or_default());
        }
    }

    fn kill9(&mut self) {
        self.process.take().unwrap().kill9().unwrap();
        let _ = fs::remove_file(self.dir.join("pid"));
    }

    /// Messages, each as its fields.
    fn messages(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.dir.join("messages")).unwrap_or_default();
        text.lines().map(|l| l.splitn(7, '|').map(str::to_owned).collect()).collect()
    }

    async fn until_written(&self, n: usize) {
        let end = std::time::Instant::now() + LIMIT;
        while self.seqs().len() < n && std::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.seqs().len(), n);
    }

    fn seqs(&self) -> BTreeSet<u64> {
        let seq = |m: &Vec<String>| m[5].split("seq=\"").nth(1)?.split('"').next()?.parse().ok();
        self.messages().iter().filter_map(seq).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_over_tls_has_everything_also_after_an_outage() {
    let w = World::new().await;
    let authority = Authority::create(&w.path("ca")).unwrap();
    let mut syslog = Rsyslog::prepare(&w.path("rsyslog"), Some(&authority));
    let own = authority.client("doorward").unwrap();
    let files = |client: bool| TlsFiles {
        ca: Some(authority.ca_file().to_owned()),
        client: client.then(|| (own.cert.clone(), own.key.clone())),
    };
    let target = |port, tls| Target::Syslog { host: "127.0.0.1".into(), port, tls: Some(tls) };
    let exporters = w.start(vec![export("siem", target(syslog.port, files(true)), Format::Ocsf)]).await;
    let mut n = w.traffic(1, 300);
    until(&exporters, |s| s[0].failures > 2).await;
    syslog.start();
    until(&exporters, |s| s[0].acknowledged == n as u64).await;
    // rsyslog has read it; writing takes it a moment, and what it has only read it would lose.
    syslog.until_written(n).await;
    syslog.kill9();
    n += w.traffic(2, 300);
    until(&exporters, |s| s[0].failures > 2).await;
    syslog.start();
    for _ in 0..20 {
        n += w.traffic(3, 10);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until(&exporters, |s| s[0].acknowledged == n as u64 && s[0].lag == 0).await;
    exporters.stop(LIMIT).await;
    syslog.until_written(n).await;
    let message = syslog.messages().pop().unwrap();
    assert_eq!((message[0].as_str(), message[3].as_str(), message[4].as_str()), ("110", "doorward", "request"));
    assert!(message[1].ends_with("+00:00") || message[1].ends_with('Z'), "{}", message[1]);
    assert!(message[5].starts_with("[doorward@32473 seq=\"") && message[5].contains("session=\""), "{}", message[5]);
    let event: Value = serde_json::from_str(message[6].trim()).unwrap();
    assert_eq!(event["class_uid"], 6005);
    // Who does not show a certificate of the authority's, or trusts another authority, gets nowhere.
    let other = Authority::create(&w.path("other")).unwrap();
    let strangers = vec![
        export("nobody", target(syslog.port, files(false)), Format::Json),
        export(
            "deceived",
            target(syslog.port, TlsFiles { ca: Some(other.ca_file().to_owned()), client: None }),
            Format::Json,
        ),
    ];
    let exporters = w.start(strangers).await;
    let s = until(&exporters, |s| s[0].failures > 0 && s[1].failures > 0).await;
    assert_eq!((s[0].acknowledged, s[1].acknowledged), (0, 0), "{s:?}");
    assert!(s[1].last_error.clone().unwrap().1.contains("certificate"), "{s:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_takes_frames_with_line_feeds_of_every_format() {
    let w = World::new().await;
    let mut syslog = Rsyslog::prepare(&w.path("rsyslog"), None);
    syslog.start();
    let target = || Target::Syslog { host: "127.0.0.1".into(), port: syslog.port, tls: None };
    let exporters = w.start(vec![export("cef", target(), Format::Cef), export("json", target(), Format::Json)]).await;
    let events = common::every_kind();
    for event in &events {
        w.append(event);
    }
    w.append(&common::request(1, 9, &format!("select '{}'", "x".repeat(20_000)), AuditOutcome::Forward));
    let n = events.len() + 1;
    until(&exporters, |s| s.iter().all(|s| s.acknowledged == n as u64)).await;
    let end = std::time::Instant::now() + LIMIT;
    while syslog.messages().len() < 2 * n && std::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let messages = syslog.messages();
    assert_eq!(messages.len(), 2 * n);
    let (cef, json): (Vec<_>, Vec<_>) = messages.iter().partition(|m| m[6].trim().starts_with("CEF:0|"));
    assert_eq!((cef.len(), json.len()), (n, n));
    let long = json.iter().map(|m| serde_json::from_str::<Value>(m[6].trim()).unwrap());
    assert!(long.into_iter().any(|e| e["entry"]["statement"].as_str().is_some_and(|s| s.len() > 20_000)));
}

struct ObjectStore {
    _process: Process,
    url: String,
}

impl ObjectStore {
    fn start(dir: &Path) -> Self {
        let program = cache_dir().join("bin/siem-s3");
        assert!(program.exists(), "{} is missing: run `scripts/install-test-deps`", program.display());
        let address = format!("127.0.0.1:{}", free_port().unwrap());
        let spec = ProcessSpec::new(program).args([address.as_str(), "audit", "eu-central-1", "key-id", "key-secret"]);
        let process = Process::start(spec, dir.join("s3.log")).unwrap();
        wait_for_port(address.parse().unwrap(), LIMIT).unwrap();
        Self { _process: process, url: format!("http://{address}") }
    }

    fn target(&self, secret: &str) -> Target {
        Target::S3(S3Target {
            bucket: "audit".into(),
            prefix: "gw 1/".into(),
            region: "eu-central-1".into(),
            endpoint: Some(self.url.clone()),
            key: Some(("key-id".into(), Secret::new(secret.into()))),
        })
    }

    fn curl(&self, path: &str) -> Vec<u8> {
        let out = Command::new("curl").args(["-sf", &format!("{}/{path}", self.url)]).stdout(Stdio::piped()).output();
        out.unwrap().stdout
    }

    fn objects(&self) -> Vec<String> {
        let list = String::from_utf8(self.curl("audit?list-type=2")).unwrap();
        list.split("<Key>").skip(1).map(|k| k.split("</Key>").next().unwrap().to_owned()).collect()
    }

    fn lines(&self, object: &str) -> Vec<Value> {
        let packed = self.curl(&format!("audit/{}", object.replace(' ', "%20")));
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}

/// Entries of three hours that are over.
fn three_hours(w: &World) -> (u64, usize) {
    let hour = common::now().as_secs() / 3600 - 10;
    let mut n = 0;
    for h in 0..3 {
        for i in 0..40 {
            let mut event = common::request(1, i, "select 1", AuditOutcome::Forward);
            event.time = Timestamp::from_secs((hour + h) * 3600 + 80 * i);
            w.append(&event);
            n += 1;
        }
    }
    (hour, n)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_is_an_object_and_sent_again_the_same_object() {
    let w = World::new().await;
    let s3 = ObjectStore::start(w.dir.path());
    let (hour, n) = three_hours(&w);
    let wrong = w.start(vec![export("archive", s3.target("wrong"), Format::Json)]).await;
    let s = until(&wrong, |s| s[0].failures > 0).await;
    let why = s[0].last_error.clone().unwrap().1;
    assert!(!why.contains("key-secret") && !why.contains("wrong"), "{why}");
    wrong.stop(LIMIT).await;
    let pace = doorward_export::Pace { object_bytes: 10_000, ..common::pace() };
    let config = export("archive", s3.target("key-secret"), Format::Json);
    let exporters = Exporters::start(&w.source(), vec![config.clone()], &pace).await.unwrap();
    let s = until(&exporters, |s| s[0].acknowledged == n as u64).await;
    assert_eq!(s[0].failures, 0);
    exporters.stop(LIMIT).await;
    let objects = s3.objects();
    let mut got = Vec::new();
    for object in &objects {
        let lines = s3.lines(object);
        let hours: BTreeSet<u64> = lines.iter().map(|l| l["entry"]["time"].as_u64().unwrap() / 3_600_000_000).collect();
        assert_eq!(hours.len(), 1, "{object}");
        let first = lines[0]["seq"].as_u64().unwrap();
        assert!(object.starts_with("gw 1/2") && object.ends_with(&format!("-{first:012}.jsonl.gz")), "{object}");
        got.extend(lines.iter().map(|l| l["seq"].as_u64().unwrap()));
    }
    assert!(objects.len() > 3, "hours that are large have several");
    got.sort_unstable();
    assert_eq!((got.len(), got.windows(2).filter(|w| w[0] == w[1]).count()), (n, 0));
    assert!(objects.iter().any(|o| o.contains(&format!("/{:02}/archive-", (hour + 1) % 24))), "{objects:?}");

    // As after a crash before the cursor was kept: the same objects, to the byte.
    let before: Vec<Vec<u8>> = objects.iter().map(|o| s3.curl(&format!("audit/{}", o.replace(' ', "%20")))).collect();
    let start =
        doorward_store::StoredCursor { seq: 0, hash: "0".repeat(64), entries: 0, updated: Timestamp::default() };
    w.store.export_acknowledged("archive", &start).await.unwrap();
    let again = Exporters::start(&w.source(), vec![config], &pace).await.unwrap();
    until(&again, |s| s[0].acknowledged == n as u64).await;
    assert_eq!(s3.objects(), objects);
    let after: Vec<Vec<u8>> = objects.iter().map(|o| s3.curl(&format!("audit/{}", o.replace(' ', "%20")))).collect();
    assert!(before == after);

    // The hour that is not over waits, and says so.
    w.append(&common::opened(5, "orders"));
    let s = until(&again, |s| s[0].oldest_unsent.is_some()).await;
    assert_eq!((s[0].state, s[0].acknowledged), (State::Sending, n as u64));
    assert!(s[0].lag >= 1);
    again.stop(LIMIT).await;
}
