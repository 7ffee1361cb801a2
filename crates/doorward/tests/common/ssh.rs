//! A real sshd, a development issuer and a gateway.
use super::{DOORWARD, Issuer, doorward};
use doorward_testkit::{Gateway, OpenSsh, SshClient, free_port};
use std::{net::SocketAddr, path::PathBuf, process::Output};

pub struct SshWorld {
    pub sshd: OpenSsh,
    pub gateway: Gateway,
    pub issuer: Issuer,
    pub port: u16,
    pub api: u16,
}

impl SshWorld {
    /// Any policy; the upstream's user, or the caller's name.
    pub fn start(policy: &str, pin_user: bool) -> Self {
        Self::over(OpenSsh::start().unwrap(), policy, pin_user, None)
    }

    /// With another host key expected of the upstream.
    pub fn over(sshd: OpenSsh, policy: &str, pin_user: bool, host_key: Option<&str>) -> Self {
        let host_key = host_key.unwrap_or_else(|| sshd.host_key()).to_owned();
        let credential = format!("{{ file = \"{}\" }}", sshd.private_key().display());
        Self::made_of(sshd, policy, pin_user, &host_key, &credential, "")
    }

    /// With another credential towards the upstream.
    pub fn with_credential(sshd: OpenSsh, policy: &str, credential: &str) -> Self {
        let host_key = sshd.host_key().to_owned();
        Self::made_of(sshd, policy, true, &host_key, credential, "")
    }

    /// With a second machine `db` (the same in truth) at the same address.
    pub fn shared(policy: &str) -> Self {
        let sshd = OpenSsh::start().unwrap();
        let host_key = sshd.host_key().to_owned();
        let credential = format!("{{ file = \"{}\" }}", sshd.private_key().display());
        Self::made_of(sshd, policy, true, &host_key, &credential, "db")
    }

    fn made_of(sshd: OpenSsh, policy: &str, pin_user: bool, host_key: &str, credential: &str, second: &str) -> Self {
        let issuer = Issuer::start();
        let (port, api) = (free_port().unwrap(), free_port().unwrap());
        let user = if pin_user { format!("user = \"{}\"", sshd.user()) } else { String::new() };
        // What begins with a section is the file's, not the connection's.
        let (credential, sections) = credential.split_at(credential.find("\n[").unwrap_or(credential.len()));
        let mut machines = String::new();
        for name in ["web", second].iter().filter(|n| !n.is_empty()) {
            machines += &format!(
                "[[connections]]\nname = \"{name}\"\nkind = \"ssh\"\nlisten = \"127.0.0.1:{port}\"\nupstream = \"{}\"\n{user}\n\
                 credential = {credential}\nhost_keys = [\"{host_key}\"]\n",
                sshd.address()
            );
        }
        let config = format!(
            r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
operators = ["sre"]
[[identity.issuers]]
name = "dev"
issuer = "{}"
audience = ["doorward"]
openpubkey_audience = ["opkssh"]
principal = "agent"
{machines}
{sections}
[policy]
files = ["policy.cedar"]
"#,
            issuer.url,
        );
        let gateway = Gateway::options(&config).program(DOORWARD).file("policy.cedar", policy).start().unwrap();
        Self { sshd, gateway, issuer, port, api }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn state(&self) -> PathBuf {
        self.gateway.directory().join("state")
    }

    /// The gateway's host key.
    pub fn host_key(&self) -> String {
        let line = std::fs::read_to_string(self.state().join("keys/ssh_host_ed25519_key.pub")).unwrap();
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    pub fn client_as(&self, user: &str, token: &str) -> SshClient {
        SshClient::new(self.address(), &self.host_key(), user).password(token)
    }

    pub fn client(&self) -> SshClient {
        self.client_as("anybody", &self.agent())
    }

    pub fn agent(&self) -> String {
        self.issuer.token("ci-bot", &["agents"], &[])
    }

    pub fn doorward(&self, token: &str, args: &[&str]) -> (bool, String) {
        doorward(&self.state(), self.api, token, args)
    }

    pub fn audit(&self, kind: &str) -> Vec<serde_json::Value> {
        let (ok, said) = self.doorward("", &["audit", "list", "--event", kind, "--output", "json"]);
        assert!(ok, "{said}");
        said.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// Runs a command as an agent.
    pub fn run(&self, command: &str) -> Output {
        self.client().ssh().unwrap().arg(command).stdin(std::process::Stdio::null()).output().unwrap()
    }

    /// A folder of the upstream's user below its home, with the path as the caller names it.
    pub fn folder(&self, name: &str) -> Folder {
        use std::os::unix::fs::MetadataExt as _;
        let below = format!("doorward-test-{}-{name}", std::process::id());
        let path = self.sshd.home().join(&below);
        std::fs::create_dir_all(&path).unwrap();
        let home = std::fs::metadata(self.sshd.home()).unwrap();
        std::os::unix::fs::chown(&path, Some(home.uid()), Some(home.gid())).unwrap();
        Folder { path, below }
    }
}

pub struct Folder {
    pub path: PathBuf,
    pub below: String,
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _may_be_gone = std::fs::remove_dir_all(&self.path);
    }
}

/// What a program said, and its exit status.
pub fn text(out: &Output) -> String {
    format!(
        "{}{}[{}]",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
        out.status.code().unwrap_or(-1)
    )
}
