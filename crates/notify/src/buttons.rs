//! Buttons under messages in Slack, and the app's command: what comes when one is pressed or typed, and what is said to it.
//!
//! Slack signs what it sends (<https://docs.slack.dev/authentication/verifying-requests-from-slack>): HMAC-SHA256 over
//! `v0:timestamp:body` with the app's signing secret. Nothing of a body is read before that is right. Who pressed is an account
//! of a chat; whose that is, and what they may, is not known here.
use crate::{channel::SendError, channel::http, config::Misconfigured};
use aws_lc_rs::hmac;
use doorward_model::{ApprovalId, Secret, Timestamp};
use doorward_terminal::printable;
use parking_lot::Mutex;
use reqwest::{Client, Url, header::HeaderMap};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::HashMap, fmt, time::Duration};
use tokio::sync::Semaphore;

/// `action_id` of the buttons.
pub(crate) const APPROVE: &str = "doorward_approve";
pub(crate) const DENY: &str = "doorward_deny";

/// The longest body that a press comes in: it holds the message, every character of which may take sixteen.
pub const MOST_PRESSED: usize = 256 << 10;
/// How old a signature may be, or how far ahead our clock is behind.
const FRESH: Duration = Duration::from_secs(300);
/// Signatures that are remembered, and of one account.
const MOST_SEEN: usize = 16_384;
const MOST_OF_ONE: usize = 64;
/// Answers that are under way at once.
const ANSWERS: usize = 16;
/// Where Slack takes answers.
const HOOKS: &str = "hooks.slack.com";
/// Characters of an account's name, and of an answer.
const NAME: usize = 80;
const TEXT: usize = 1500;

/// The buttons of one Slack app in one workspace.
pub struct SlackButtons {
    team: String,
    key: hmac::Key,
    /// The API that was set in place of Slack's own: it takes answers, too.
    api: Option<Url>,
    client: Client,
    seen: Mutex<HashMap<[u8; 32], Seen>>,
    answers: Semaphore,
}

impl fmt::Debug for SlackButtons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlackButtons").field("team", &self.team).finish_non_exhaustive()
    }
}

/// A signature that is good, and until when.
#[derive(Clone, Copy)]
struct Signed {
    tag: [u8; 32],
    until: Timestamp,
}

/// What came and counted.
struct Seen {
    /// Until when its signature is good.
    until: Timestamp,
    /// The account that it is of.
    account: String,
}

/// An account of a Slack workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackUser {
    /// The workspace.
    pub team: String,
    /// The account.
    pub id: String,
    /// What it is called, for people: nothing acts in it.
    pub name: String,
}

/// What a button asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let it through.
    Approve(ApprovalId),
    /// Refuse it.
    Deny(ApprovalId),
    /// Nothing: a link was followed.
    Nothing,
}

/// A button was pressed.
#[derive(Clone, Debug)]
pub struct Pressed {
    /// Who did.
    pub user: SlackUser,
    /// What for.
    pub verdict: Verdict,
    /// Where an answer goes.
    reply: Url,
    /// The message under which the button is.
    blocks: Vec<Value>,
}

/// The app's command was typed (<https://docs.slack.dev/interactivity/implementing-slash-commands>). Nobody else sees what was.
#[derive(Clone, Debug)]
pub struct Command {
    /// Who did.
    pub user: SlackUser,
    /// What stands after the command, without space around it.
    pub text: String,
}

/// Why what came counts as nothing. No part of it is in the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPressed {
    /// Not signed, or not by Slack.
    #[error("the signature of what came as Slack's is missing or wrong")]
    Forged,
    /// Signed at another time.
    #[error("the signature of what came as Slack's is older than five minutes, or of a time to come")]
    Stale,
    /// It came before.
    #[error("what came as Slack's came twice: a signature counts once")]
    Repeated,
    /// Too many at once.
    #[error("more comes from Slack than can be remembered, by one account or by all: try again in five minutes")]
    Busy,
    /// Signed, and yet not what a button sends.
    #[error("what Slack sent is not understood: {0}")]
    Malformed(&'static str),
    /// Of another workspace, or of an account of another.
    #[error("it came from another Slack workspace, or from an account of another")]
    OtherTeam,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    user: User,
    team: Option<Team>,
    response_url: Option<String>,
    message: Option<Message>,
    #[serde(default)]
    actions: Vec<Action>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    username: Option<String>,
    name: Option<String>,
    team_id: Option<String>,
}

#[derive(Deserialize)]
struct Team {
    id: String,
}

#[derive(Default, Deserialize)]
struct Message {
    #[serde(default)]
    blocks: Vec<Value>,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    value: Option<String>,
}

/// Identifiers of Slack are letters and digits.
fn is_id(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

impl SlackButtons {
    /// Buttons of the app with this signing secret, in this workspace; `api` where it is not Slack's own.
    ///
    /// # Errors
    /// [`Misconfigured`].
    pub fn new(team: &str, secret: &Secret<String>, api: Option<&str>) -> Result<Self, Misconfigured> {
        if !is_id(team) {
            return Err(Misconfigured(format!("`{team}` is no identifier of a workspace, such as T0123456789")));
        }
        if secret.expose().len() < 16 {
            return Err(Misconfigured("a signing secret has at least 16 characters".to_owned()));
        }
        Ok(Self {
            team: team.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()),
            api: api.map(http::checked).transpose()?,
            client: http::client()?,
            seen: Mutex::default(),
            answers: Semaphore::new(ANSWERS),
        })
    }

    /// Reads the press of a button, if it is Slack's: `timestamp` and `signature` are the headers `X-Slack-Request-Timestamp` and
    /// `X-Slack-Signature`, the body is as it came.
    ///
    /// # Errors
    /// Why it counts as nothing.
    pub fn read(&self, timestamp: &str, signature: &str, body: &[u8], now: Timestamp) -> Result<Pressed, NotPressed> {
        let signed = self.signed(timestamp, signature, body, now)?;
        let pressed = self.pressed(body)?;
        // What asks for nothing may come as often as it likes.
        if pressed.verdict != Verdict::Nothing {
            self.once(signed, &pressed.user.id, now)?;
        }
        Ok(pressed)
    }

    /// Reads the app's command, if it is Slack's, from the same as [`SlackButtons::read`] a press.
    ///
    /// # Errors
    /// Why it counts as nothing.
    pub fn command(
        &self,
        timestamp: &str,
        signature: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Command, NotPressed> {
        let signed = self.signed(timestamp, signature, body, now)?;
        let command = self.typed(body)?;
        self.once(signed, &command.user.id, now)?;
        Ok(command)
    }

    fn signed(&self, timestamp: &str, signature: &str, body: &[u8], now: Timestamp) -> Result<Signed, NotPressed> {
        let is_number = (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|b| b.is_ascii_digit());
        let at = timestamp.parse().ok().filter(|_| is_number).map(Timestamp::from_secs).ok_or(NotPressed::Forged)?;
        let tag = signature.strip_prefix("v0=").and_then(bytes_of_hex).ok_or(NotPressed::Forged)?;
        let mut signed = format!("v0:{timestamp}:").into_bytes();
        signed.extend_from_slice(body);
        // In constant time.
        hmac::verify(&self.key, &signed, &tag).map_err(|_| NotPressed::Forged)?;
        if now.since(at) > FRESH || at.since(now) > FRESH {
            return Err(NotPressed::Stale);
        }
        Ok(Signed { tag, until: at.after(FRESH) })
    }

    /// A signature counts once, for as long as it is good.
    ///
    /// INVARIANT: what is remembered is forgotten when its time alone would refuse it, and not before. Only what is signed and would
    /// have an effect comes here; who sends much of it is refused for their own account, and others go on.
    fn once(&self, Signed { tag, until }: Signed, account: &str, now: Timestamp) -> Result<(), NotPressed> {
        let mut seen = self.seen.lock();
        let mut own = 0_usize;
        seen.retain(|_, s| {
            let is_good = s.until >= now;
            own += usize::from(is_good && s.account == account);
            is_good
        });
        if seen.contains_key(&tag) {
            return Err(NotPressed::Repeated);
        }
        if own >= MOST_OF_ONE || seen.len() >= MOST_SEEN {
            return Err(NotPressed::Busy);
        }
        seen.insert(tag, Seen { until, account: account.to_owned() });
        Ok(())
    }

    fn pressed(&self, body: &[u8]) -> Result<Pressed, NotPressed> {
        let wrong = NotPressed::Malformed;
        let form = form(body)?;
        let payload = one(&form, "payload", NotPressed::Malformed("no payload, or two"))?;
        let p: Payload = serde_json::from_str(&payload).map_err(|_| wrong("not the payload of a button"))?;
        if p.kind != "block_actions" {
            return Err(wrong("not the press of a button"));
        }
        // Accounts of other workspaces may be in a channel that is shared.
        let of = p.team.map(|t| t.id);
        if of.as_deref() != Some(&self.team) || p.user.team_id.is_some_and(|t| t != self.team) {
            return Err(NotPressed::OtherTeam);
        }
        if !is_id(&p.user.id) {
            return Err(wrong("no identifier of an account"));
        }
        let [action] = p.actions.as_slice() else { return Err(wrong("not one button")) };
        let approval = || action.value.as_deref().and_then(|v| v.parse().ok()).ok_or(wrong("no approval"));
        let verdict = match action.action_id.as_str() {
            APPROVE => Verdict::Approve(approval()?),
            DENY => Verdict::Deny(approval()?),
            _ => Verdict::Nothing,
        };
        let reply = p.response_url.as_deref().and_then(|u| self.reply(u)).ok_or(wrong("no address for an answer"))?;
        let user = self.user(p.user.id, &p.user.username.or(p.user.name).unwrap_or_default());
        Ok(Pressed { user, verdict, reply, blocks: p.message.unwrap_or_default().blocks })
    }

    fn typed(&self, body: &[u8]) -> Result<Command, NotPressed> {
        let form = form(body)?;
        let one = |name| one(&form, name, NotPressed::Malformed("not the app's command"));
        one("command")?;
        if one("team_id")? != self.team {
            return Err(NotPressed::OtherTeam);
        }
        let id = one("user_id")?;
        if !is_id(&id) {
            return Err(NotPressed::Malformed("no identifier of an account"));
        }
        let text = one("text")?.trim().chars().take(NAME).collect();
        Ok(Command { user: self.user(id, &one("user_name").unwrap_or_default()), text })
    }

    fn user(&self, id: String, name: &str) -> SlackUser {
        SlackUser { team: self.team.clone(), id, name: printable(name).chars().take(NAME).collect() }
    }

    /// What answers a command, for who typed it alone.
    pub fn only_for_them(text: &str) -> Value {
        json!({ "response_type": "ephemeral", "text": escaped(&text.chars().take(TEXT).collect::<String>()) })
    }

    /// Answers go to Slack, or to the API that was set in its place, and nowhere else.
    fn reply(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|u| u.username().is_empty() && u.password().is_none())?;
        let is_slack = url.scheme() == "https" && url.host_str() == Some(HOOKS) && url.port().is_none();
        (is_slack || self.api.as_ref().is_some_and(|api| api.origin() == url.origin())).then_some(url)
    }

    /// Says something to who pressed, which nobody else sees.
    ///
    /// # Errors
    /// Where Slack does not take it.
    pub async fn whisper(&self, to: &Pressed, text: &str) -> Result<(), SendError> {
        let mut body = Self::only_for_them(text);
        if let Some(body) = body.as_object_mut() {
            body.insert("replace_original".into(), json!(false));
        }
        self.answer(to, &body).await
    }

    /// Puts what came of it under the message; without buttons where it is over.
    ///
    /// # Errors
    /// Where Slack does not take it.
    pub async fn update(&self, to: &Pressed, outcome: &str, over: bool) -> Result<(), SendError> {
        let is_kept = |block: &&Value| !over || block.get("type").is_none_or(|t| t != "actions");
        let mut blocks: Vec<Value> = to.blocks.iter().filter(is_kept).take(48).cloned().collect();
        let shown: String = printable(outcome).chars().take(TEXT).collect();
        blocks.push(json!({ "type": "section", "text": { "type": "plain_text", "text": shown, "emoji": false } }));
        self.answer(to, &json!({ "replace_original": true, "text": escaped(&shown), "blocks": blocks })).await
    }

    async fn answer(&self, to: &Pressed, body: &Value) -> Result<(), SendError> {
        let _turn = self.answers.try_acquire().map_err(|_| SendError::new("too many answers are under way"))?;
        http::post(&self.client, &to.reply, HeaderMap::new(), http::bytes(body)).await.map(drop)
    }
}

/// Names and values of a form.
fn form(body: &[u8]) -> Result<Url, NotPressed> {
    let wrong = NotPressed::Malformed("not a form");
    let mut form = Url::parse("http://localhost/").map_err(|_| wrong)?;
    form.set_query(Some(std::str::from_utf8(body).map_err(|_| wrong)?));
    Ok(form)
}

/// The value of a name that is there once.
fn one(form: &Url, name: &str, wrong: NotPressed) -> Result<String, NotPressed> {
    let mut values = form.query_pairs().filter(|(n, _)| n == name);
    let value = values.next().filter(|_| values.next().is_none());
    value.map(|(_, value)| value.into_owned()).ok_or(wrong)
}

/// Texts outside of `plain_text`, in which three characters are markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn bytes_of_hex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let mut value = 0_u8;
        for c in pair {
            let digit = char::from(*c).to_digit(16)?;
            value = value.checked_mul(16)?.checked_add(u8::try_from(digit).ok()?)?;
        }
        *byte = value;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's documentation.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const AT: &str = "1531420618";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
        &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F\
        %2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121\
        .803a0bc887a14d10d2c447fce8b6703c";

    fn buttons() -> SlackButtons {
        SlackButtons::new("T1DC2JH3J", &Secret::new(SECRET.to_owned()), None).unwrap()
    }

    #[test]
    fn the_signature_of_the_documentation_is_right_and_counts_once() {
        let (buttons, now) = (buttons(), Timestamp::from_secs(1_531_420_618));
        // A command is no button; that it is said to be none shows that the signature was right.
        let read = |at: Timestamp| buttons.read(AT, SIGNATURE, BODY.as_bytes(), at).unwrap_err();
        assert_eq!(read(now.after(Duration::from_secs(301))), NotPressed::Stale);
        assert_eq!(read(Timestamp::from_secs(1_531_420_317)), NotPressed::Stale);
        assert_eq!(read(now.after(FRESH)), NotPressed::Malformed("no payload, or two"));
        assert!(buttons.seen.lock().is_empty(), "what has no effect takes no room");
        let other = BODY.replace("roadrunner", "coyote");
        assert_eq!(buttons.read(AT, SIGNATURE, other.as_bytes(), now).unwrap_err(), NotPressed::Forged);
        for bad in ["", "v0=", "v1=00", &SIGNATURE.replace("v0=", ""), &SIGNATURE.replace('a', "g"), "v0=é"] {
            assert_eq!(buttons.read(AT, bad, BODY.as_bytes(), now).unwrap_err(), NotPressed::Forged, "{bad}");
        }
        for bad in ["", "+1531420618", "99999999999999999999", "1531420618 ", "0x1"] {
            assert_eq!(buttons.read(bad, SIGNATURE, BODY.as_bytes(), now).unwrap_err(), NotPressed::Forged, "{bad}");
        }
    }

    fn press(
        buttons: &SlackButtons,
        user: &str,
        action: &str,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), NotPressed> {
        let payload = json!({
            "type": "block_actions", "user": { "id": user }, "team": { "id": "T1DC2JH3J" },
            "response_url": "https://hooks.slack.com/actions/T1/2/3",
            "actions": [{ "action_id": action, "value": "00000000-0000-0000-0000-000000000001" }],
        });
        let body = format!("payload={payload}");
        let signed = format!("v0:{}:{body}", at.as_secs());
        let tag: String =
            hmac::sign(&buttons.key, signed.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        buttons.read(&at.as_secs().to_string(), &format!("v0={tag}"), body.as_bytes(), now).map(drop)
    }

    #[test]
    fn what_came_counts_once_for_as_long_as_its_signature_is_good() {
        let (buttons, now) = (buttons(), Timestamp::from_secs(1_531_420_618));
        // Of a time behind ours, and of one ahead.
        for at in [now, now.after(FRESH)] {
            assert_eq!(press(&buttons, "U1", APPROVE, at, now), Ok(()));
            for later in [now, at, at.after(FRESH)] {
                assert_eq!(press(&buttons, "U1", APPROVE, at, later), Err(NotPressed::Repeated), "{later:?}");
            }
            let over = at.after(FRESH).after(Duration::from_micros(1));
            assert_eq!(press(&buttons, "U1", APPROVE, at, over), Err(NotPressed::Stale));
        }
        // A link that is followed has no effect, and takes no room.
        let before = buttons.seen.lock().len();
        for _ in 0..3 {
            assert_eq!(press(&buttons, "U1", "review", now, now), Ok(()));
        }
        assert_eq!(buttons.seen.lock().len(), before);
    }

    #[test]
    fn who_presses_much_takes_no_room_from_others_and_nothing_is_forgotten_for_it() {
        let (buttons, now) = (buttons(), Timestamp::from_secs(1_531_420_618));
        let ago = |n: usize| Timestamp::from_secs(now.as_secs() - u64::try_from(n).unwrap());
        for n in 0..MOST_OF_ONE {
            assert_eq!(press(&buttons, "U1", DENY, ago(n), now), Ok(()));
        }
        assert_eq!(press(&buttons, "U1", DENY, ago(MOST_OF_ONE), now), Err(NotPressed::Busy));
        assert_eq!(
            press(&buttons, "U1", DENY, ago(1), now),
            Err(NotPressed::Repeated),
            "none is forgotten for another"
        );
        assert_eq!(press(&buttons, "U2", APPROVE, now, now), Ok(()), "others go on");
        // All together, too, are no more than fit.
        let tag = |n: usize| {
            let mut tag = [0; 32];
            tag.iter_mut().zip(n.to_be_bytes()).for_each(|(to, byte)| *to = byte);
            tag
        };
        let kept = buttons.seen.lock().len();
        for n in kept..MOST_SEEN {
            buttons.seen.lock().insert(tag(n), Seen { until: now.after(FRESH), account: format!("U{n}") });
        }
        assert_eq!(press(&buttons, "U3", APPROVE, now, now), Err(NotPressed::Busy));
        assert_eq!(press(&buttons, "U2", APPROVE, now, now), Err(NotPressed::Repeated));
        let later = now.after(FRESH).after(Duration::from_secs(1));
        assert_eq!(press(&buttons, "U3", APPROVE, later, later), Ok(()));
        assert_eq!(buttons.seen.lock().len(), 1, "what is over makes room");
    }

    #[test]
    fn answers_go_to_slack_alone() {
        let goes = |url: &str| buttons().reply(url).is_some();
        assert!(goes("https://hooks.slack.com/actions/T1/2/3"));
        for elsewhere in
            ["https://slack.com/x", "http://hooks.slack.com/x", "https://a@hooks.slack.com/x", "hooks.slack.com"]
        {
            assert!(!goes(elsewhere), "{elsewhere}");
        }
        assert!(!format!("{:?}", buttons()).contains(SECRET));
    }
}
