//! Getting in over SSH, and getting on: certificates for callers, certificates for upstreams.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::{
    DOORWARD,
    ssh::{SshWorld, text},
};
use doorward_testkit::{OpenSsh, cache_dir, repo_root};
use std::{
    fs,
    io::Read as _,
    net::TcpStream,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

const POLICY: &str = include_str!("../../../policies/examples/ssh.cedar");

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).stdin(Stdio::null()).output().unwrap()
}

/// `doorward` as a caller on a machine of his own runs it.
fn caller(w: &SshWorld, token: &str, args: &[&str]) -> Output {
    let url = format!("http://127.0.0.1:{}", w.api);
    Command::new(DOORWARD).args(args).args(["--url", &url]).env("DOORWARD_TOKEN", token).output().unwrap()
}

fn certificate(w: &SshWorld, token: &str, key: &Path, more: &[&str]) -> Output {
    caller(w, token, &[&["ssh-cert", "--key", key.to_str().unwrap()], more].concat())
}

/// That a log-in failed for this reason is written down, if not at once.
fn assert_failed_for(w: &SshWorld, why: &str) {
    let mut failures = String::new();
    for _ in 0..50 {
        failures = w.audit("authentication_failed").iter().map(|e| format!("{}\n", e["reason"])).collect();
        if failures.contains(why) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing failed for {why}: {failures}");
}

#[test]
fn a_key_of_ones_own_and_a_certificate_open_the_door() {
    let w = SshWorld::start(POLICY, true);
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("keys/doorward");
    let token = w.agent();
    let out = certificate(&w, &token, &key, &[]);
    assert!(out.status.success() && text(&out).contains("certificate for dev/ci-bot, until "), "{}", text(&out));
    let shown = run("ssh-keygen", &["-L", "-f", &format!("{}-cert.pub", key.display())]);
    assert!(
        text(&shown).contains("Key ID: \"dev/ci-bot\"") && text(&shown).contains("user certificate"),
        "{}",
        text(&shown)
    );

    // As `ssh-config` prints it, without any other option, and renewed on the way.
    let printed = caller(&w, &token, &["ssh-config", "--key", key.to_str().unwrap()]);
    assert!(printed.status.success(), "{}", text(&printed));
    let config = home.path().join("config");
    fs::write(&config, &printed.stdout).unwrap();
    fs::remove_file(format!("{}-cert.pub", key.display())).unwrap();
    let ssh = |command: &str| {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", config.to_str().unwrap(), "-o", "BatchMode=yes", "web", command]);
        ssh.env("DOORWARD_TOKEN", &token).env_remove("SSH_AUTH_SOCK").stdin(Stdio::null()).output().unwrap()
    };
    let out = ssh("echo hello");
    assert_eq!(text(&out), "hello\n[0]");
    assert!(text(&ssh("curl x")).contains("no policy allows run_program"), "the same policies, whichever way in");
    // Good for a while yet: no token is needed, and nothing is written.
    let before = fs::read(format!("{}-cert.pub", key.display())).unwrap();
    let out = certificate(&w, "no token", &key, &["--if-needed"]);
    assert_eq!(text(&out), "[0]");
    assert_eq!(fs::read(format!("{}-cert.pub", key.display())).unwrap(), before);
    assert!(w.audit("authenticated").iter().any(|e| e["principal"]["groups"][0] == "agents"));
    let issued = w.audit("administration");
    assert!(issued.iter().any(|e| e["what"].as_str().unwrap().starts_with("issue SSH certificate ")), "{issued:?}");
    // Who may connect nowhere is told so.
    let out = caller(&w, &w.issuer.token("eve", &["staff"], &[]), &["ssh-config"]);
    assert!(text(&out).contains("no policy lets you connect"), "{}", text(&out));
    assert!(text(&certificate(&w, "forged", &key, &[])).contains("the token was not accepted"));
}

#[test]
fn other_certificates_and_keys_do_not() {
    let w = SshWorld::start(POLICY, true);
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let log_in = |key: &Path| {
        w.client_as("anybody", "")
            .key(key)
            .option("PasswordAuthentication=no")
            .option("KbdInteractiveAuthentication=no")
            .ssh()
            .unwrap()
            .arg("echo in")
            .output()
            .unwrap()
    };
    let denied = |key: &Path| {
        let out = log_in(key);
        assert!(text(&out).contains("Permission denied"), "{}", text(&out));
    };
    // A key alone.
    let out = certificate(&w, &w.agent(), &at("own"), &["--ttl", "20s"]);
    assert!(out.status.success(), "{}", text(&out));
    assert!(text(&log_in(&at("own"))).starts_with("in\n"));
    std::thread::sleep(Duration::from_secs(21));
    denied(&at("own"));
    assert_failed_for(&w, "expired");
    // Somebody else's certificate for one's own key, and one's own authority.
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", at("ca").to_str().unwrap()]);
    let public = format!("{}.pub", at("own").display());
    let signed = run("ssh-keygen", &["-q", "-s", at("ca").to_str().unwrap(), "-I", "dev/root", "-n", "root", &public]);
    assert!(signed.status.success(), "{}", text(&signed));
    denied(&at("own"));
    assert_failed_for(&w, "a certificate of another authority");
    fs::remove_file(format!("{}-cert.pub", at("own").display())).unwrap();
    denied(&at("own"));
    // Keys that are offered before the password do not use up the attempts for it.
    let mut client = w.client();
    for i in 0..10 {
        let path = at(&format!("key{i}"));
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", path.to_str().unwrap()]);
        client = client.option(&format!("IdentityFile={}", path.display()));
    }
    let out = client.key(&at("own")).ssh().unwrap().arg("echo in").output().unwrap();
    assert!(text(&out).starts_with("in\n"), "{}", text(&out));
}

/// What `opkssh login` leaves behind, with an identity token of this audience and these further claims.
fn openpubkey(w: &SshWorld, key: &Path, kind: &str, audience: &str, claims: &[&str]) -> Output {
    let mut play = Command::new(cache_dir().join("venv-ssh/bin/python"));
    play.arg(repo_root().join("e2e/clients/ssh-python/openpubkey.py")).arg(key).arg(kind);
    play.args([DOORWARD, "dev", "token", "--dir"]).arg(w.issuer.directory());
    play.args(["--sub", "ci-bot", "--group", "agents", "--audience", audience]);
    for claim in claims {
        play.args(["--claim", claim]);
    }
    play.output().unwrap()
}

#[test]
fn a_token_in_ones_key_opens_the_door_as_opkssh_makes_it() {
    let w = SshWorld::start(POLICY, true);
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("id");
    let log_in = || {
        let client = w.client_as("anybody", "").key(&key).option("PreferredAuthentications=publickey");
        client.ssh().unwrap().arg("echo in").output().unwrap()
    };
    for kind in ["P256", "ED25519"] {
        let made = openpubkey(&w, &key, kind, "opkssh", &["nonce={nonce}"]);
        assert!(made.status.success(), "{}", text(&made));
        assert_eq!(text(&log_in()), "in\n[0]", "{kind}");
    }
    assert!(w.audit("authenticated").iter().any(|e| e["principal"]["groups"][0] == "agents"));
    for (audience, claims, why) in [
        ("opkssh", "nonce=other", "not bound to the caller's key"),
        ("doorward", "nonce={nonce}", "for another audience"),
        ("opkssh", "x=y", "no claim `nonce`"),
    ] {
        assert!(openpubkey(&w, &key, "P256", audience, &[claims]).status.success());
        let out = log_in();
        assert!(text(&out).contains("Permission denied"), "{}", text(&out));
        assert_failed_for(&w, why);
    }
    // The token in the key of somebody else, who read it at another server.
    assert!(openpubkey(&w, &key, "P256", "opkssh", &["nonce={nonce}"]).status.success());
    let shown = run("ssh-keygen", &["-L", "-f", &format!("{}-cert.pub", key.display())]);
    assert!(text(&shown).contains("openpubkey-pkt"), "{}", text(&shown));
    let certificate = fs::read(format!("{}-cert.pub", key.display())).unwrap();
    assert!(openpubkey(&w, &key, "P256", "opkssh", &["nonce=thief"]).status.success());
    fs::write(format!("{}-cert.pub", key.display()), certificate).unwrap();
    assert!(text(&log_in()).contains("Permission denied"));
}

#[test]
fn the_gateway_logs_in_with_a_certificate_for_each_session() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pub");
    fs::write(&trusted, "").unwrap();
    let sshd = OpenSsh::options().config(&format!("TrustedUserCAKeys {}", trusted.display())).start().unwrap();
    let w = SshWorld::with_credential(sshd, POLICY, "{ authority = true }");
    let out = w.run("echo in");
    assert!(text(&out).contains("could not log in at the target"), "not trusted yet: {}", text(&out));
    fs::copy(w.state().join("keys/ssh_upstream_ca_ed25519_key.pub"), &trusted).unwrap();
    assert_eq!(text(&w.run("echo in")), "in\n[0]");
    let log = w.sshd.log();
    assert!(log.contains("dev/ci-bot through doorward, session "), "{log}");
}

#[test]
fn host_keys_change_without_a_question_to_anybody() {
    let w = SshWorld::start(POLICY, true);
    let home = tempfile::tempdir().unwrap();
    let known = home.path().join("known_hosts");
    let name = format!("[127.0.0.1]:{}", w.port);
    fs::write(&known, format!("{name} {}\n", w.host_key())).unwrap();
    let key = home.path().join("id");
    assert!(certificate(&w, &w.agent(), &key, &[]).status.success());
    let (file, port) = (format!("UserKnownHostsFile={}", known.display()), format!("Port={}", w.port));
    let log_in = |update: &str| {
        let update = format!("UpdateHostKeys={update}");
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "GlobalKnownHostsFile=none", "-o", &file, "-o", &port]);
        ssh.args(["-o", &update, "-i", key.to_str().unwrap(), "127.0.0.1", "echo in"]).stdin(Stdio::null());
        text(&ssh.output().unwrap())
    };
    let command = |what: &str| {
        let out = Command::new(DOORWARD).args(["ssh-host-key", what, "--state-dir"]).arg(w.state()).output().unwrap();
        assert!(out.status.success(), "{}", text(&out));
        String::from_utf8(out.stdout).unwrap()
    };
    let known_keys = || fs::read_to_string(&known).unwrap().lines().filter(|l| l.contains("ssh-ed25519")).count();
    assert_eq!(log_in("yes"), "in\n[0]");
    assert_eq!(known_keys(), 1, "nothing to learn");
    let early = Command::new(DOORWARD).args(["ssh-host-key", "rotate", "--state-dir"]).arg(w.state()).output().unwrap();
    assert!(text(&early).contains("prepare"), "{}", text(&early));

    let next = command("prepare");
    assert!(command("show").contains(next.trim()));
    assert_eq!(log_in("no"), "in\n[0]");
    assert_eq!(known_keys(), 1);
    // The client asks for the proof before it believes.
    assert_eq!(log_in("yes"), "in\n[0]");
    let text_of_file = fs::read_to_string(&known).unwrap();
    assert!(text_of_file.contains(next.trim()) && known_keys() == 2, "{text_of_file}");

    command("rotate");
    assert_eq!(w.host_key(), next.trim());
    assert_eq!(log_in("yes"), "in\n[0]", "shows the new key; the old one is forgotten");
    assert_eq!(known_keys(), 1);
    // Who was not here in between is warned, as he must be.
    fs::write(&known, format!("{name} {}\n", w.sshd.host_key())).unwrap();
    let refused = log_in("yes");
    assert!(refused.contains("REMOTE HOST IDENTIFICATION HAS CHANGED"), "{refused}");
}

#[test]
fn one_address_does_not_take_all_the_room() {
    let w = SshWorld::start(POLICY, true);
    let silent: Vec<_> = (0..256).map(|_| TcpStream::connect(w.address()).unwrap()).collect();
    // As in the order they came: whoever is greeted has a place.
    for mut socket in &silent {
        let mut greeting = [0; 8];
        socket.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"SSH-2.0-");
    }
    let mut told = String::new();
    TcpStream::connect(w.address()).unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "doorward: too many log-ins from your address at once\r\n");
    drop(silent);
    let out = wait_until_in(&w);
    assert_eq!(text(&out), "in\n[0]");
}

fn wait_until_in(w: &SshWorld) -> Output {
    let mut out = w.run("echo in");
    for _ in 0..20 {
        if out.status.success() {
            break;
        }
        std::thread::sleep(Duration::from_millis(250));
        out = w.run("echo in");
    }
    out
}

#[test]
fn machines_that_share_an_address_are_named_by_the_user_name() {
    let db = "@id(\"db\") permit (principal in Group::\"agents\", action, resource in Connection::\"db\")\n\
        when { action == Action::\"connect\" || (resource is Program && resource.name == \"id\") };\n";
    let w = SshWorld::shared(&format!("{POLICY}{db}"));
    let run = |user: &str, command: &str| {
        w.client_as(user, &w.agent()).ssh().unwrap().arg(command).stdin(Stdio::null()).output().unwrap()
    };
    assert_eq!(text(&run("web", "echo in")), "in\n[0]");
    assert!(run("db", "id").status.success() && run("ops+db", "id").status.success());
    assert!(text(&run("db", "cat x")).contains("no policy allows"), "each by its own policies");
    assert!(text(&run("anybody", "id")).contains("log in as USER+MACHINE"));
    assert!(text(&run("anybody+nosuch", "id")).contains("log in as USER+MACHINE"));
    assert!(w.audit("session_opened").iter().any(|e| e["connection"] == "db"));
    assert!(w.audit("session_ended").iter().any(|e| e["reason"].as_str().unwrap().contains("several machines")));
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key");
    let printed = caller(&w, &w.agent(), &["ssh-config", "--key", key.to_str().unwrap()]);
    assert!(
        text(&printed).contains("    User db\n") && text(&printed).contains("    User web\n"),
        "{}",
        text(&printed)
    );
    let config = home.path().join("config");
    fs::write(&config, &printed.stdout).unwrap();
    let mut ssh = Command::new("ssh");
    let out = ssh.args(["-F", config.to_str().unwrap(), "db", "id -u"]).env("DOORWARD_TOKEN", w.agent());
    assert!(out.stdin(Stdio::null()).output().unwrap().status.success());
}
