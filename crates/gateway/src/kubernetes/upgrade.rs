//! A caller's wish for a stream: which wire, which protocols, and the answer that grants it.
use super::{
    answer::{self, Answered},
    handler,
};
use doorward_kubernetes::{Target, channel::Channel, facts::Road, render};
use doorward_model::Action;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Protocols of messages with channels over WebSocket, the newest first.
const CHANNELS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// Protocols of tunnels to ports over WebSocket.
const TUNNELS: [&str; 2] = ["SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"];
/// Protocols of streams over SPDY.
const SPDY_CHANNELS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// The protocol of tunnels to ports over SPDY.
const SPDY_TUNNELS: [&str; 1] = ["portforward.k8s.io"];
/// Which of them the API server has chosen.
pub(super) const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// How streams stand side by side on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// RFC 6455.
    WebSocket,
    /// SPDY/3.1, of kubectl before 1.30.
    Spdy,
}

/// A caller's wish for a stream.
#[derive(Clone, Debug)]
pub(crate) struct Upgrade {
    pub(super) wire: Wire,
    key: HeaderValue,
    /// The protocols that the caller offers and that are known here, in his order.
    pub(super) protocols: Vec<&'static str>,
    pub(super) on: Option<OnUpgrade>,
    /// Whether it is to ports, whose bytes are nobody's to read.
    pub(super) is_tunnel: bool,
    /// Where a message can be shown: the channel of standard error, or of the terminal.
    pub(super) tells_on: Option<Channel>,
    /// Whether input is what somebody types.
    pub(super) is_tty: bool,
}

impl Upgrade {
    /// Whether a request asks for one.
    pub(crate) fn of(parts: &mut Parts, target: &Target) -> Result<Option<Self>, render::Answer> {
        if !parts.headers.contains_key(header::UPGRADE) {
            return Ok(None);
        }
        let action = handler::stream_of(target);
        let Some(action) = action.filter(|action| *action != Action::Proxy) else {
            return Err(render::malformed("an upgrade of a request that has no stream"));
        };
        let (wire, key) = wire_of(parts)?;
        let is_tunnel = action == Action::PortForward;
        let (name, known): (_, &[&'static str]) = match (wire, is_tunnel) {
            (Wire::WebSocket, true) => (header::SEC_WEBSOCKET_PROTOCOL, &TUNNELS),
            (Wire::WebSocket, false) => (header::SEC_WEBSOCKET_PROTOCOL, &CHANNELS),
            (Wire::Spdy, true) => (STREAM_PROTOCOL, &SPDY_TUNNELS),
            (Wire::Spdy, false) => (STREAM_PROTOCOL, &SPDY_CHANNELS),
        };
        let offered = parts.headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
        let protocols: Vec<_> = offered
            .flat_map(|list| list.split(','))
            .filter_map(|name| known.iter().copied().find(|k| *k == name.trim()))
            .collect();
        if protocols.is_empty() {
            let known = known.join(", ");
            return Err(render::malformed(&format!("none of the protocols offered is spoken here: {known}")));
        }
        let is_set = |name| matches!(target.parameter(name), Some("true" | "1"));
        let channels = [(Channel::Stderr, is_set("stderr")), (Channel::Stdout, is_set("stdout"))];
        let shown = channels.into_iter().find(|(_, is_set)| *is_set).map(|(channel, _)| channel);
        let tells_on = shown.filter(|_| !is_tunnel);
        let is_tty = is_set("tty");
        Ok(Some(Self { wire, key, protocols, on: parts.extensions.remove::<OnUpgrade>(), is_tunnel, tells_on, is_tty }))
    }

    /// Whether the caller can be told something while he waits.
    pub(crate) const fn can_tell(&self) -> bool {
        self.tells_on.is_some()
    }

    /// `101 Switching Protocols` with this protocol.
    pub(super) fn accept(&self, protocol: &str) -> Answered {
        let mut response = answer::json(StatusCode::SWITCHING_PROTOCOLS, &serde_json::Value::Null);
        *response.body_mut() = answer::empty();
        let headers = response.headers_mut();
        headers.clear();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        let protocol = HeaderValue::from_str(protocol).unwrap_or(HeaderValue::from_static(""));
        match self.wire {
            Wire::WebSocket => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                if let Ok(key) = HeaderValue::from_str(&derive_accept_key(self.key.as_bytes())) {
                    headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
                }
                headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
            }
            Wire::Spdy => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
                headers.insert(STREAM_PROTOCOL, protocol);
            }
        }
        response
    }
}

/// The wire that is asked for, and the key of WebSocket.
fn wire_of(parts: &Parts) -> Result<(Wire, HeaderValue), render::Answer> {
    let text = |name| parts.headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or_default();
    let mut all = parts.headers.get_all(header::UPGRADE).iter();
    let (Some(wanted), None) = (all.next().and_then(|v| v.to_str().ok()), all.next()) else {
        return Err(render::malformed("more than one upgrade at once"));
    };
    let says_so = text(header::CONNECTION).split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    if parts.version != Version::HTTP_11 || !says_so {
        return Err(render::malformed("an upgrade that does not follow RFC 9110"));
    }
    if wanted.eq_ignore_ascii_case("spdy/3.1") {
        return Ok((Wire::Spdy, HeaderValue::from_static("")));
    }
    let fits = wanted.eq_ignore_ascii_case("websocket")
        && parts.method == Method::GET
        && text(header::SEC_WEBSOCKET_VERSION) == "13";
    match parts.headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| fits) {
        Some(key) => Ok((Wire::WebSocket, key.clone())),
        None => Err(render::malformed("an upgrade that is neither WebSocket (RFC 6455) nor SPDY/3.1")),
    }
}

/// The right that streams of this target need; none where it has no stream.
pub(super) const fn action_of(road: Road) -> Option<Action> {
    match road {
        Road::Stream(action) => Some(action),
        Road::Object | Road::Own(_) => None,
    }
}
