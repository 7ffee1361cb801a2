//! E-mail by SMTP (RFC 5321), plain text. Towards anything but loopback only over TLS.
use super::SendError;
use crate::{
    config::{Mail, Misconfigured},
    notice::{Event, Notice},
};
use doorward_terminal::behind_bar;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use std::{fmt, net::IpAddr, time::Duration};

const ANSWER: Duration = Duration::from_secs(20);
/// Characters of a subject.
const SUBJECT: usize = 180;
/// Columns of a line of somebody else's text.
const WIDTH: usize = 72;

pub(crate) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    domain: String,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailer(from {} to {} people)", self.from, self.to.len())
    }
}

impl Mailer {
    pub(super) fn new(mail: &Mail) -> Result<Self, Misconfigured> {
        let mailbox = |text: &str| {
            text.parse::<Mailbox>().map_err(|e| Misconfigured(format!("`{}` is no address: {e}", text.escape_debug())))
        };
        let from = mailbox(&mail.from)?;
        let to = mail.to.iter().map(|t| mailbox(t)).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(Misconfigured("nobody to send it to".to_owned()));
        }
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.host)
            .port(mail.port)
            .timeout(Some(ANSWER))
            .tls(tls(mail)?);
        if let Some((user, password)) = &mail.account {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().clone()));
        }
        let domain = from.email.domain().to_owned();
        Ok(Self { transport: builder.build(), from, to, domain })
    }

    pub(super) async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(notice.title().chars().take(SUBJECT).collect::<String>())
            // The same for each try: mail programs show it once.
            .message_id(Some(format!("<{}.{}@{}>", notice.approval, notice.seq, self.domain)));
        for to in &self.to {
            message = message.to(to.clone());
        }
        let message = message.header(ContentType::TEXT_PLAIN).body(body(notice));
        let message = message.map_err(|e| SendError::new(format!("the message cannot be made: {e}")))?;
        let sent = self.transport.send(message).await;
        sent.map(drop).map_err(|e| SendError::new(format!("the mail server did not take it: {e}")))
    }
}

/// INVARIANT: a password never goes over a clear line, and neither does a statement, but on this machine.
fn tls(mail: &Mail) -> Result<Tls, Misconfigured> {
    let is_loopback = mail.host == "localhost" || mail.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if is_loopback && !mail.implicit_tls && mail.ca.is_none() {
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(mail.host.clone());
    if let Some(path) = &mail.ca {
        let bad = |e: &dyn fmt::Display| Misconfigured(format!("{}: {e}", path.display()));
        let pem = std::fs::read(path).map_err(|e| bad(&e))?;
        parameters = parameters.add_root_certificate(Certificate::from_pem(&pem).map_err(|e| bad(&e))?);
    }
    let parameters = parameters.build_rustls().map_err(|e| Misconfigured(format!("TLS: {e}")))?;
    Ok(if mail.implicit_tls { Tls::Wrapper(parameters) } else { Tls::Required(parameters) })
}

fn body(notice: &Notice) -> String {
    let mut out = format!("{}\n\n", notice.title());
    for (name, value) in notice.fields() {
        out.push_str(&format!("{name}: {value}\n"));
    }
    // No line of these can be taken for one of ours, by the width of a window either.
    let mut theirs = |label: &str, text: &str| {
        out.push_str(&format!("\n{label}\n"));
        behind_bar(text, WIDTH).iter().for_each(|line| out.push_str(&format!("{line}\n")));
    };
    if let Some(statement) = &notice.statement {
        theirs("The statement:", statement);
    }
    for (name, text) in &notice.parts {
        theirs("What else is sent:", &format!("{name}\n{text}"));
    }
    if notice.event == Event::Asked {
        out.push_str(&format!("\nReview and decide (you will be asked to sign in):\n{}\n", notice.link));
    }
    out
}
