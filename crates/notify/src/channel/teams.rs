//! Microsoft Teams: an Adaptive Card to a workflow that posts what it gets ("When a Teams webhook request is received",
//! <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>).
//!
//! What callers wrote stands in `TextRun`s, in which no Markdown is read.
use super::{SendError, http};
use crate::{
    config::Misconfigured,
    notice::{Event, Notice},
};
use doorward_model::Secret;
use reqwest::{Client, Url, header::HeaderMap};
use serde_json::{Value, json};

#[derive(Debug)]
pub(crate) struct Teams {
    client: Client,
    /// Who knows it can post: it is not shown.
    url: Secret<String>,
}

impl Teams {
    pub(super) fn new(url: &Secret<String>) -> Result<Self, Misconfigured> {
        http::checked(url.expose())?;
        Ok(Self { client: http::client()?, url: url.clone() })
    }

    pub(super) async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        let url: Url = self.url.expose().parse().map_err(|_| SendError::new("the address cannot be read"))?;
        http::post(&self.client, &url, HeaderMap::new(), http::bytes(&message(notice))).await.map(drop)
    }
}

fn text(text: &str, more: Value) -> Value {
    let mut run = json!({ "type": "TextRun", "text": text });
    if let (Some(run), Value::Object(more)) = (run.as_object_mut(), more) {
        run.extend(more);
    }
    json!({ "type": "RichTextBlock", "inlines": [run] })
}

fn message(notice: &Notice) -> Value {
    let mut body = vec![text(&notice.title(), json!({ "weight": "bolder", "size": "medium" }))];
    // On a ground of its own: no text of a caller's looks like a line of ours.
    let theirs = |items: Vec<Value>| json!({ "type": "Container", "style": "emphasis", "items": items });
    if let Some(statement) = &notice.statement {
        body.push(theirs(vec![text(statement, json!({ "fontType": "monospace" }))]));
    }
    for (name, part) in &notice.parts {
        body.push(text("What else is sent:", json!({ "weight": "bolder" })));
        let name = text(name, json!({ "weight": "bolder" }));
        body.push(theirs(vec![name, text(part, json!({ "fontType": "monospace" }))]));
    }
    for (name, value) in notice.fields() {
        let (name, value) = (format!("{name}: "), json!({ "type": "TextRun", "text": value }));
        let name = json!({ "type": "TextRun", "text": name, "weight": "bolder" });
        body.push(json!({ "type": "RichTextBlock", "spacing": "small", "inlines": [name, value] }));
    }
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard", "version": "1.4", "body": body,
    });
    if let (Event::Asked, Some(card)) = (&notice.event, card.as_object_mut()) {
        let open = json!({ "type": "Action.OpenUrl", "title": "Review and decide", "url": notice.link });
        card.insert("actions".into(), json!([open]));
    }
    json!({
        "type": "message",
        "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card }],
    })
}
