//! What the requests of RFC 4254, and OpenSSH's extensions to them, would do.
use doorward_model::{Access, Action, Facts, Resource};
use doorward_shell::{Login, Protocol, analyse, analyse_line};
use std::sync::Arc;

/// A request, as it is decided.
#[derive(Clone, Debug)]
pub struct Meaning {
    /// The rights it needs.
    pub facts: Arc<Facts>,
    /// What it says, for people.
    pub statement: Arc<str>,
    /// What the bytes that follow mean.
    pub protocol: Option<Protocol>,
}

impl Meaning {
    fn one(command: &str, statement: String, accesses: Vec<Access>) -> Self {
        let facts = Arc::new(Facts::new(command, 1, accesses));
        Self { facts, statement: statement.into(), protocol: None }
    }
}

fn access(action: Action, resource: Resource, login: Login) -> Access {
    Access::new(action, resource).with_root(login.is_root)
}

fn opaque(what: &str, login: Login) -> Access {
    access(Action::Opaque, Resource::Opaque { what: what.into() }, login)
}

/// `exec` (RFC 4254 §6.5): a command line for the login shell.
pub fn exec(command: &[u8], login: Login) -> Meaning {
    let analysis = analyse(command, login);
    let statement = String::from_utf8_lossy(command).into_owned();
    Meaning { facts: Arc::new(analysis.facts), statement: statement.into(), protocol: analysis.protocol }
}

/// `shell` (RFC 4254 §6.5): the login shell, interactive.
pub fn shell(login: Login) -> Meaning {
    Meaning::one("shell", "shell".into(), vec![access(Action::Shell, Resource::Connection, login)])
}

/// `shell`, with a shell whose lines are decided one by one.
pub fn governed_shell(login: Login) -> Meaning {
    let accesses = vec![access(Action::GovernedShell, Resource::Connection, login)];
    Meaning::one("governed_shell", "governed shell".into(), accesses)
}

/// A line of a governed shell that is in this directory.
pub fn line(text: &str, login: Login, directory: Option<&str>) -> Meaning {
    let analysis = analyse_line(text, login, directory);
    Meaning { facts: Arc::new(analysis.facts), statement: text.into(), protocol: None }
}

/// `subsystem` (RFC 4254 §6.5). SFTP is looked into; any other is a stream that nobody reads.
pub fn subsystem(name: &str, login: Login) -> Meaning {
    let resource = Resource::Object { kind: "subsystem".into(), name: name.into() };
    let mut accesses = vec![access(Action::Subsystem, resource, login)];
    let is_sftp = name == "sftp";
    if !is_sftp {
        accesses.push(opaque(&format!("a subsystem whose protocol is not read: `{name}`"), login));
    }
    let mut out = Meaning::one("subsystem", format!("subsystem {name}"), accesses);
    out.protocol = is_sftp.then_some(Protocol::Sftp);
    out
}

/// `env` (RFC 4254 §6.4).
pub fn env(name: &str, value: &str, login: Login) -> Meaning {
    let mut accesses = vec![access(Action::SetVariable, Resource::Variable { name: name.into() }, login)];
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !plain || value.contains('\0') {
        accesses.push(opaque("an environment variable whose name or value is not plain", login));
    }
    Meaning::one("env", format!("env {name}={value}"), accesses)
}

/// `direct-tcpip` (RFC 4254 §7.2): the upstream connects for the caller.
pub fn direct_tcpip(host: &str, port: u32, login: Login) -> Meaning {
    host_meaning(Action::Forward, "forward", host, port, login)
}

/// `tcpip-forward` (RFC 4254 §7.1): the upstream listens for the caller. An empty host means every address.
pub fn tcpip_forward(host: &str, port: u32, login: Login) -> Meaning {
    host_meaning(Action::ForwardRemote, "forward_remote", if host.is_empty() { "*" } else { host }, port, login)
}

fn host_meaning(action: Action, command: &str, host: &str, port: u32, login: Login) -> Meaning {
    let statement = format!("{command} {host}:{port}");
    let plain = !host.is_empty() && host.chars().all(|c| !c.is_control() && !c.is_whitespace());
    let Some(port) = u16::try_from(port).ok().filter(|_| plain) else {
        return Meaning::one(command, statement, vec![opaque("a host or port that is none", login)]);
    };
    // A name may end in a dot and be written in either case.
    let host = host.trim_end_matches('.').to_lowercase();
    Meaning::one(command, statement, vec![access(action, Resource::Host { host: host.into(), port }, login)])
}

/// `direct-streamlocal@openssh.com`, `streamlocal-forward@openssh.com` (OpenSSH's PROTOCOL §2.4).
pub fn streamlocal(action: Action, path: &str, login: Login) -> Meaning {
    let mut accesses = vec![access(action, Resource::File { path: path.into() }, login)];
    if !path.starts_with('/') || path.split('/').any(|p| matches!(p, "." | "..")) || path.contains(char::is_control) {
        accesses.push(opaque(&format!("a socket whose path is not plain: `{}`", path.escape_debug()), login));
    }
    Meaning::one(action.as_str(), format!("{action} {path}"), accesses)
}

/// `auth-agent-req@openssh.com`: the upstream may use the caller's agent.
pub fn agent(login: Login) -> Meaning {
    let accesses = vec![access(Action::ForwardAgent, Resource::Connection, login)];
    Meaning::one("forward_agent", "forward_agent".into(), accesses)
}

/// `x11-req` (RFC 4254 §6.3): the upstream may use the caller's display.
pub fn x11(login: Login) -> Meaning {
    let accesses = vec![access(Action::ForwardX11, Resource::Connection, login)];
    Meaning::one("forward_x11", "forward_x11".into(), accesses)
}

/// The start of a session: who logs in upstream. Whom the caller chose, he has to be allowed to become; whom the
/// configuration names, only where that is root.
pub fn connect(user: &str, is_chosen: bool, login: Login) -> Meaning {
    let mut accesses = vec![access(Action::Connect, Resource::Connection, login)];
    if is_chosen || login.is_root {
        accesses.push(access(Action::Assume, Resource::Role { name: user.into() }, login));
    }
    Meaning::one("connect", format!("connect as {user}"), accesses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(meaning: &Meaning) -> String {
        let all: Vec<String> = meaning.facts.accesses.iter().map(ToString::to_string).collect();
        all.join(", ")
    }

    #[test]
    fn forwards_name_their_target() {
        let login = Login::default();
        assert_eq!(shown(&direct_tcpip("DB.example.", 5432, login)), "forward on Host `db.example:5432`");
        assert_eq!(shown(&tcpip_forward("", 0, login)), "forward_remote on Host `*:0`");
        assert!(shown(&direct_tcpip("a b", 1, login)).contains("Opaque"));
        assert!(shown(&direct_tcpip("a", 70_000, login)).contains("Opaque"));
        assert!(shown(&streamlocal(Action::Forward, "/run/../x", login)).contains("Opaque"));
    }

    #[test]
    fn only_sftp_is_read() {
        assert_eq!(subsystem("sftp", Login::default()).protocol, Some(Protocol::Sftp));
        assert!(shown(&subsystem("netconf", Login::default())).contains("Opaque"));
        assert!(shown(&env("LD PRELOAD", "x", Login::default())).contains("Opaque"));
    }

    #[test]
    fn root_is_a_role() {
        let meaning = connect("root", false, Login { is_root: true });
        assert!(meaning.facts.accesses.iter().any(|a| a.action == Action::Assume && a.as_root));
        assert_eq!(shown(&connect("deploy", false, Login::default())), "connect on Connection");
        assert!(shown(&connect("admin", true, Login::default())).contains("assume on Role `admin`"));
    }
}
