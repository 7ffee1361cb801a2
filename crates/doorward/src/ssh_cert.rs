//! `doorward ssh-cert`, `doorward ssh-config`: SSH with a key of one's own and a certificate of the gateway's.
use crate::{
    approvals::client,
    cli::{Output, SshCertArgs, SshConfigArgs, SshKeyArgs},
    dev::duration,
    state,
};
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_control::{SshAccessView, SshCertificate};
use doorward_gateway::ssh::{certificate_ends, new_key_pair};
use doorward_model::Timestamp;
use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// A certificate that ends sooner than this is renewed by `--if-needed`.
const NEARLY_OVER: Duration = Duration::from_secs(5 * 60);

/// Where a key and what belongs to it are.
struct Files {
    key: PathBuf,
}

impl Files {
    fn of(args: &SshKeyArgs) -> Result<Self> {
        if let Some(key) = &args.key {
            let key = std::path::absolute(key).with_context(|| format!("`{}`", key.display()))?;
            let text = key.display().to_string();
            // ssh_config(5) has no way to write these.
            if text.contains(|c: char| c == '"' || c == '%' || c.is_control()) {
                bail!("`{text}`: a path with `\"`, `%` or control characters cannot stand in ~/.ssh/config");
            }
            return Ok(Self { key });
        }
        let home = std::env::home_dir().ok_or_else(|| anyhow!("there is no home directory: give --key"))?;
        Ok(Self { key: home.join(".ssh").join("doorward") })
    }

    /// `ssh` looks for a certificate beside the key, under this name.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.key.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    fn known_hosts(&self) -> PathBuf {
        self.beside("_known_hosts")
    }

    fn is_still_good(&self) -> bool {
        let soon = Timestamp::from(SystemTime::now()).after(NEARLY_OVER);
        let ends = fs::read_to_string(self.beside("-cert.pub")).ok().and_then(|text| certificate_ends(&text));
        self.known_hosts().exists() && ends.is_some_and(|ends| ends > soon)
    }

    /// The public key; a new pair where there is none yet.
    fn public_key(&self) -> Result<String> {
        let path = self.beside(".pub");
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !self.key.exists() => {}
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
        if let Some(folder) = self.key.parent().filter(|f| !f.as_os_str().is_empty()) {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let (private, public) = new_key_pair("doorward")?;
        // Never over a key that is there: two of us at once would leave halves of two pairs.
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.key);
        file.and_then(|mut f| f.write_all(private.as_bytes()))
            .with_context(|| format!("cannot create {}", self.key.display()))?;
        put(&path, &format!("{public}\n"), 0o644)?;
        Ok(public)
    }
}

/// Writes a file whole, or not at all.
pub(crate) fn put(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut unfinished = path.to_path_buf().into_os_string();
    unfinished.push(format!(".{}", std::process::id()));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&unfinished, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Gets a certificate.
pub(crate) fn certificate(args: &SshCertArgs) -> Result<()> {
    let files = Files::of(&args.key)?;
    if args.if_needed && files.is_still_good() {
        return Ok(());
    }
    let ttl = duration(&args.ttl)?;
    let public = files.public_key()?;
    let (issued, endpoints) = crate::runtime()?.block_on(async {
        let client = client(&args.api)?;
        anyhow::Ok((client.ssh_certificate(&public, ttl).await?, client.ssh_endpoints().await?))
    })?;
    put(&files.beside("-cert.pub"), &format!("{}\n", issued.certificate), 0o644)?;
    put(&files.known_hosts(), &known_hosts(&endpoints, &api_host(&args.api.url)), 0o644)?;
    report(&files, &issued, args)
}

fn report(files: &Files, issued: &SshCertificate, args: &SshCertArgs) -> Result<()> {
    if args.api.output == Output::Json {
        println!("{}", serde_json::to_string_pretty(issued)?);
    } else if !args.if_needed {
        println!("certificate for {}, until {}", issued.principal, state::time(issued.expires));
        println!("  {}", files.beside("-cert.pub").display());
        println!("use it: ssh -i {} HOST, or see `doorward ssh-config`", files.key.display());
    }
    Ok(())
}

/// Prints what belongs into `~/.ssh/config`.
pub(crate) fn config(args: &SshConfigArgs) -> Result<()> {
    let files = Files::of(&args.key)?;
    let endpoints = crate::runtime()?.block_on(async { anyhow::Ok(client(&args.api)?.ssh_endpoints().await?) })?;
    if args.api.output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&endpoints)?);
        return Ok(());
    }
    if endpoints.is_empty() {
        eprintln!("no policy lets you connect to anything over SSH");
    }
    let renew = renewal(args, &files)?;
    let host = api_host(&args.api.url);
    for endpoint in &endpoints {
        print!("{}", stanza(endpoint, &files, &host, &renew));
    }
    Ok(())
}

/// The command that `ssh` runs before it connects. The token itself is not written into a file of settings.
fn renewal(args: &SshConfigArgs, files: &Files) -> Result<String> {
    let program = std::env::current_exe().context("where this program is")?;
    let mut command = quoted(&program.display().to_string());
    let _never_fails = write!(command, " ssh-cert --if-needed --key {}", quoted(&files.key.display().to_string()));
    let _never_fails = write!(command, " --url {}", quoted(&args.api.url));
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string();
    for (name, path) in [("--token-file", &args.api.token_file), ("--ca", &args.api.ca)] {
        if let Some(path) = path {
            let _never_fails = write!(command, " {name} {}", quoted(&whole(path)));
        }
    }
    Ok(command)
}

/// For the shell that `Match exec` hands the command to; `%` would begin a token of ssh_config(5).
fn quoted(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-:@".contains(c));
    let text = text.replace('%', "%%");
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn stanza(endpoint: &SshAccessView, files: &Files, api: &str, renew: &str) -> String {
    let SshAccessView { name, host, port, user, .. } = endpoint;
    let host = host.as_deref().unwrap_or(api);
    let key = files.key.display();
    let user = user.as_ref().map_or_else(String::new, |user| {
        let own = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "me".into());
        format!("    User {}{user}\n", if user.starts_with('+') { own.as_str() } else { "" })
    });
    format!(
        "# Through Doorward. The certificate is renewed as it runs out, with the token in DOORWARD_TOKEN or the token file.\n\
         Match originalhost {name} exec \"{}\"\n\
         Host {name}\n    HostName {host}\n    Port {port}\n{user}    IdentityFile \"{key}\"\n    CertificateFile \"{}\"\n    \
         IdentitiesOnly yes\n    UserKnownHostsFile \"{}\"\n    StrictHostKeyChecking yes\n    \
         UpdateHostKeys yes\n\n",
        renew.replace('"', "\\\""),
        files.beside("-cert.pub").display(),
        files.known_hosts().display(),
    )
}

fn known_hosts(endpoints: &[SshAccessView], api: &str) -> String {
    let mut out = String::new();
    for SshAccessView { host, port, host_keys, .. } in endpoints {
        let host = host.as_deref().unwrap_or(api);
        let name = if *port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
        for key in host_keys {
            let _never_fails = writeln!(out, "{name} {key}");
        }
    }
    out
}

/// The host of the API's address: also that of endpoints which listen on every address.
pub(crate) fn api_host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6.to_owned(),
        None => authority.split(':').next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_found() {
        for (url, host) in [
            ("http://127.0.0.1:8443", "127.0.0.1"),
            ("https://gw.example.com/", "gw.example.com"),
            ("https://[::1]:8443/x", "::1"),
            ("https://a@b:1", "b"),
        ] {
            assert_eq!(api_host(url), host, "{url}");
        }
    }

    #[test]
    fn what_ssh_hands_to_a_shell_is_quoted() {
        assert_eq!(quoted("/usr/bin/doorward"), "/usr/bin/doorward");
        assert_eq!(quoted("/a b/it's 5%"), "'/a b/it'\\''s 5%%'");
    }

    #[test]
    fn known_hosts_name_ports_that_are_not_the_usual_one() {
        let at = |host: Option<&str>, port| SshAccessView {
            name: "web".into(),
            host: host.map(str::to_owned),
            port,
            host_keys: vec!["ssh-ed25519 AAAA".into(), "ssh-ed25519 BBBB".into()],
            user: None,
        };
        let text = known_hosts(&[at(Some("10.0.0.1"), 22), at(None, 2222)], "gw");
        assert_eq!(
            text,
            "10.0.0.1 ssh-ed25519 AAAA\n10.0.0.1 ssh-ed25519 BBBB\n[gw]:2222 ssh-ed25519 AAAA\n[gw]:2222 ssh-ed25519 BBBB\n"
        );
    }
}
