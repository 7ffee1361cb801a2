//! `doorward login` and `doorward logout`.
use crate::{
    cli::{GatewayArgs, LoginArgs},
    signed_in, state,
};
use anyhow::{Context as _, Result, anyhow, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use doorward_control::{CliCredential, Client, ClientError, ProviderView};
use sha2::{Digest as _, Sha256};
use std::{
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout, timeout_at},
};

/// How long a browser may take.
const PATIENCE: Duration = Duration::from_secs(600);
const MAX_HEAD: usize = 16 * 1024;

fn client(gateway: &GatewayArgs, token: &str) -> Result<Client> {
    let read = |path| std::fs::read(path).with_context(|| format!("cannot read {}", std::path::Path::display(path)));
    Ok(Client::new(&gateway.url, token, gateway.ca.as_deref().map(read).transpose()?)?)
}

pub(crate) fn login(args: &LoginArgs) -> Result<()> {
    // Before anybody is bothered.
    let file = signed_in::file()?;
    let credential = crate::runtime()?.block_on(get(args))?;
    let (who, until) = (credential.principal.clone(), credential.expires);
    signed_in::keep(&file, &args.gateway.url, credential)?;
    println!("signed in as {} until {}", crate::approvals::one_line(&who), state::time(until));
    Ok(())
}

pub(crate) fn logout(args: &GatewayArgs) -> Result<()> {
    let Some(credential) = signed_in::forget(&signed_in::file()?, &args.url)? else {
        println!("not signed in at {}", args.url);
        return Ok(());
    };
    match crate::runtime()?.block_on(client(args, &credential.token)?.sign_out()) {
        // Over already.
        Ok(()) | Err(ClientError::Token(_)) => {}
        Err(e) => return Err(e).context("the credential was deleted here, but the gateway could not be told"),
    }
    println!("signed out");
    Ok(())
}

async fn get(args: &LoginArgs) -> Result<CliCredential> {
    let client = client(&args.gateway, "")?;
    let providers = client.providers().await?;
    let chosen = match &args.provider {
        Some(name) if providers.iter().any(|p| p.name == *name) => Some(name.clone()),
        Some(name) => bail!("no provider `{name}`: there are {}", names(&providers)),
        None if args.browser => None,
        None => match providers.as_slice() {
            [one] => Some(one.name.clone()),
            [] => None,
            several => bail!("say where: --provider with one of {}, or --browser", names(several)),
        },
    };
    if let (Some(provider), false) = (chosen, args.browser)
        && let Some(credential) = by_code(&client, &provider).await?
    {
        return Ok(credential);
    }
    by_browser(&client, args).await
}

fn names(providers: &[ProviderView]) -> String {
    let names: Vec<&str> = providers.iter().map(|p| p.name.as_str()).collect();
    crate::approvals::one_line(&names.join(", "))
}

/// The device flow; none where the provider does not have it.
async fn by_code(client: &Client, provider: &str) -> Result<Option<CliCredential>> {
    let start = match client.begin_device(provider).await {
        Ok(start) => start,
        Err(ClientError::Refused { status: 404, .. }) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let uri = start.verification_uri_complete.as_ref().unwrap_or(&start.verification_uri);
    eprintln!(
        "Open {} and enter the code {}",
        crate::approvals::one_line(uri),
        crate::approvals::one_line(&start.user_code)
    );
    let ends = Instant::now() + Duration::from_secs(start.expires_in);
    while Instant::now() < ends {
        sleep(Duration::from_secs(start.interval.clamp(1, 60))).await;
        if let Some(credential) = client.poll_device(&start.handle).await? {
            return Ok(Some(credential));
        }
    }
    Err(anyhow!("nobody signed in in time"))
}

/// The loopback redirect (RFC 8252, section 7.3), with PKCE.
async fn by_browser(client: &Client, args: &LoginArgs) -> Result<CliCredential> {
    let word = || URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let (verifier, state) = (word(), word());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let url = args.gateway.url.trim_end_matches('/');
    let url = format!("{url}/auth/cli?port={port}&challenge={challenge}&state={state}");
    eprintln!("Open {url}");
    if !args.no_open {
        open(&url);
    }
    let code =
        timeout(PATIENCE, waits_for_code(&listener, &state)).await.map_err(|_| anyhow!("nobody came in time"))??;
    Ok(client.redeem(&code, &verifier).await?)
}

/// Best effort: the address was printed.
fn open(url: &str) {
    let quiet = |program| {
        Command::new(program).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    };
    let _opened = ["xdg-open", "open"].into_iter().find_map(|p| quiet(p).ok());
}

/// Whoever comes without the right word is sent away, and does not end the waiting.
async fn waits_for_code(listener: &TcpListener, state: &str) -> Result<String> {
    loop {
        let (mut tcp, _) = listener.accept().await?;
        let code = timeout_at(Instant::now() + Duration::from_secs(5), code_in(&mut tcp, state)).await.ok().flatten();
        let (status, text) = match &code {
            Some(_) => ("200 OK", "You are signed in. This page may be closed."),
            None => ("404 Not Found", "Nothing is here."),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
             Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\r\n{text}",
            text.len()
        );
        // The browser may be gone; the code counts.
        let _sent = timeout(Duration::from_secs(5), tcp.write_all(answer.as_bytes())).await;
        if let Some(code) = code {
            return Ok(code);
        }
    }
}

/// The code in a request for `/?code=…&state=…`.
async fn code_in(tcp: &mut TcpStream, state: &str) -> Option<String> {
    let mut head = Vec::new();
    let mut chunk = [0; 2048];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = tcp.read(&mut chunk).await.ok().filter(|n| *n > 0)?;
        head.extend_from_slice(chunk.get(..n)?);
        if head.len() > MAX_HEAD {
            return None;
        }
    }
    let head = std::str::from_utf8(&head).ok()?;
    let query = head.strip_prefix("GET /?")?.split(' ').next()?;
    let field = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    (field("state")? == state).then(|| field("code").map(str::to_owned)).flatten()
}
