//! Slack's Web API: `chat.postMessage` (<https://docs.slack.dev/reference/methods/chat.postMessage>), in Block Kit.
//!
//! What callers wrote stands in `rich_text` and `plain_text` elements, in which Slack reads no markup.
use super::{SendError, http};
use crate::{
    buttons::{APPROVE, DENY},
    config::Misconfigured,
    notice::{Event, Notice},
};
use doorward_model::Secret;
use reqwest::{
    Client, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};

const API: &str = "https://slack.com/api/";
/// A header holds at most 150 characters, a field 2000.
const HEADER: usize = 150;
const FIELD: usize = 1900;
/// So many a section holds.
const FIELDS: usize = 10;

#[derive(Debug)]
pub(crate) struct Slack {
    client: Client,
    url: Url,
    authorization: HeaderValue,
    channel: String,
    buttons: bool,
}

impl Slack {
    pub(super) fn new(
        api: Option<&str>,
        token: &Secret<String>,
        channel: &str,
        buttons: bool,
    ) -> Result<Self, Misconfigured> {
        let api = http::checked(api.unwrap_or(API))?;
        let url = api.join("chat.postMessage").map_err(|e| Misconfigured(e.to_string()))?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| Misconfigured("the token holds characters that no header can carry".to_owned()))?;
        authorization.set_sensitive(true);
        Ok(Self { client: http::client()?, url, authorization, channel: channel.to_owned(), buttons })
    }

    pub(super) async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        let body = http::bytes(&message(&self.channel, notice, self.buttons));
        let answer = http::post(&self.client, &self.url, headers, body).await?;
        let said: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if said.get("ok").and_then(Value::as_bool) == Some(true) {
            return Ok(());
        }
        let error = said.get("error").and_then(Value::as_str).unwrap_or("no answer that is understood");
        let word: String = error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(60).collect();
        Err(SendError::new(format!("Slack refused: {word}")))
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn message(channel: &str, notice: &Notice, buttons: bool) -> Value {
    let plain = |text: &str, most| json!({ "type": "plain_text", "text": cut(text, most), "emoji": false });
    let mut blocks = vec![json!({ "type": "header", "text": plain(&notice.title(), HEADER) })];
    let code = |text: &str| {
        let text = json!({ "type": "text", "text": text });
        let element = json!({ "type": "rich_text_preformatted", "elements": [text] });
        json!({ "type": "rich_text", "elements": [element] })
    };
    blocks.extend(notice.statement.iter().map(|statement| code(statement)));
    // Names may be callers', too: they stand among what else is theirs.
    for (name, text) in &notice.parts {
        blocks.push(json!({ "type": "section", "text": plain("What else is sent:", FIELD) }));
        blocks.push(code(name));
        blocks.push(code(text));
    }
    let fields: Vec<Value> =
        notice.fields().iter().map(|(name, value)| plain(&format!("{name}\n{value}"), FIELD)).collect();
    blocks.extend(fields.chunks(FIELDS).map(|fields| json!({ "type": "section", "fields": fields })));
    let asks = matches!(notice.event, Event::Asked | Event::Escalated { .. });
    if asks {
        blocks.push(json!({ "type": "actions", "elements": choices(notice, buttons) }));
    }
    // The fallback of notifications, in which `&`, `<` and `>` are markup.
    let text = notice.title().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({ "channel": channel, "text": text, "blocks": blocks, "unfurl_links": false, "mrkdwn": false })
}

/// What people may press. What cannot be read whole in the message is approved on its page alone.
fn choices(notice: &Notice, buttons: bool) -> Vec<Value> {
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let id = notice.approval.to_string();
    let mut out = Vec::new();
    if buttons && notice.whole {
        let confirm = json!({
            "title": plain("Approve?"), "text": plain("What this message shows runs once."),
            "confirm": plain("Approve"), "deny": plain("Not yet"),
        });
        out.push(json!({
            "type": "button", "text": plain("Approve"), "style": "primary", "action_id": APPROVE, "value": id, "confirm": confirm,
        }));
    }
    if buttons {
        out.push(json!({
            "type": "button", "text": plain("Deny"), "style": "danger", "action_id": DENY, "value": id,
        }));
    }
    let text = if buttons && !notice.whole { "Read it whole and decide" } else { "Review and decide" };
    let mut link = json!({ "type": "button", "text": plain(text), "url": notice.link, "action_id": "review" });
    if let (true, Some(map)) = (out.is_empty(), link.as_object_mut()) {
        map.insert("style".into(), json!("primary"));
    }
    out.push(link);
    out
}
