//! What is one's own: where one is signed in, one's API keys.
use super::{key, tabs};
use crate::{
    api::{ApiState, administered, keys as api, now},
    problem::Problem,
    rights::Asker,
    types::{KeyOwner, KeysQuery, NewApiKey, ScopeView},
    web::page::{self, Answer},
};
use axum::{
    Form,
    extract::{Path, Query, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header},
};
use doorward_model::{Administration, Secret};
use doorward_signin::{By, Cookie};
use doorward_store::{Limit, SessionPurpose, WebSession};
use doorward_ui::{
    ChatAccount, Inert, KeyFields, NewKey, Notice, OwnSession, POLICY, Section, SettingsPage, SettingsTab,
};
use serde::Deserialize;

/// Keys on a page.
const KEYS: u32 = 25;
const DAY: u64 = 24 * 3600;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    keys: Option<String>,
    done: String,
}

/// What to show beside what there is.
#[derive(Default)]
struct Shown {
    status: StatusCode,
    asked: Asked,
    made: Option<NewKey>,
    code: Option<Secret<String>>,
    fields: KeyFields,
    problem: Option<Problem>,
}

pub(crate) async fn show(State(state): State<ApiState>, asker: Asker, Query(asked): Query<Asked>) -> Answer {
    page_of(&state, &asker, Shown { asked, ..Shown::default() }).await
}

fn notice(done: &str) -> Option<Notice> {
    let text = match done {
        "ended" => "It is signed out.",
        "unlinked" => "The Slack account is nobody's any more.",
        "revoked" => "The key was revoked: it is good for nothing from now on.",
        _ => return None,
    };
    Some(Notice { bad: false, text: text.into() })
}

async fn page_of(state: &ApiState, asker: &Asker, shown: Shown) -> Answer {
    let sessions = state.signin.sessions_of(&asker.who, now()).await.map_err(|e| Problem::unavailable(&e))?;
    let own = state.signin.chat_accounts_of(&asker.who).await.map_err(|e| Problem::unavailable(&e))?;
    let chat: Vec<ChatAccount> = own.into_iter().map(account).collect();
    let asked = KeysQuery { owner: Some(KeyOwner::Mine), cursor: shown.asked.keys, limit: Some(KEYS) };
    let found = api::listed(state, asker, &asked).await?;
    let page = SettingsPage {
        shell: page::shell(state, asker, Section::Settings, "Settings").await?,
        tabs: tabs(asker, SettingsTab::You),
        notice: notice(&shown.asked.done),
        groups: asker.who.groups.iter().map(|g| g.clone().into()).collect(),
        sessions: sessions.into_iter().map(|s| session(asker, s)).collect(),
        chat: (!state.slack.is_empty() || !chat.is_empty()).then_some(chat),
        may_link: !state.slack.is_empty(),
        code: shown.code,
        keys: found.keys.into_iter().map(|k| key(k, now())).collect(),
        older: found.next,
        made: shown.made,
        f: shown.fields,
        problem: shown.problem.map(|p| Inert::from(p.detail())),
        may_create: asker.may(Administration::CreateKeys).is_ok(),
        actions: Administration::ALL.iter().map(|a| a.as_str()).collect(),
    };
    Ok(page::answer(shown.status, &page, POLICY))
}

fn account(a: doorward_store::ChatAccount) -> ChatAccount {
    ChatAccount { team: a.team, user: a.user, name: a.name.into(), since: a.created }
}

/// Gives a code to be typed in Slack, and shows it: the answer to this, and nothing else, has it.
pub(crate) async fn chat_code(State(state): State<ApiState>, asker: Asker) -> Answer {
    if state.slack.is_empty() {
        return Err(Problem::not_found("chat whose accounts could decide").into());
    }
    let code = state.signin.chat_code(asker.shown(), now());
    let code = code.ok_or_else(|| Problem::busy("too many codes wait to be typed: try again in some minutes"))?;
    page_of(&state, &asker, Shown { code: Some(code), ..Shown::default() }).await
}

/// The session that a page was asked for with.
fn this(asker: &Asker) -> Option<&str> {
    match &asker.shown().by {
        By::Session { id, .. } => Some(id),
        By::Token | By::Key { .. } => None,
    }
}

fn session(asker: &Asker, s: WebSession) -> OwnSession {
    OwnSession {
        this: this(asker) == Some(s.id.as_str()),
        kind: match s.purpose {
            SessionPurpose::Browser => "browser",
            SessionPurpose::Cli => "command line",
        },
        by: match s.auth.as_str() {
            "oidc" => "OpenID Connect".into(),
            "saml" => "SAML".into(),
            "token" => "identity token".into(),
            "bootstrap" => "code of the first start".into(),
            other => other.into(),
        },
        id: s.id,
        began: s.created,
        used: s.last_seen,
        ends: s.principal.expires_at,
    }
}

/// Ends one of the person's own sessions; that of this browser as well.
pub(crate) async fn end(State(state): State<ApiState>, asker: Asker, Path(id): Path<String>) -> Answer {
    let own = state.signin.sessions_of(&asker.who, now()).await.map_err(|e| Problem::unavailable(&e))?;
    let found = own.into_iter().find(|s| s.id == id).ok_or_else(|| Problem::not_found("session"))?;
    administered(&state, &asker.who, None, format!("sign out session {}", found.id)).await?;
    state.signin.end(&found.id).await.map_err(|e| Problem::unavailable(&e))?;
    if this(&asker) != Some(found.id.as_str()) {
        return Ok(page::see_other("/settings?done=ended"));
    }
    let mut answer = page::see_other("/sign-in");
    if let Some(gone) = Cookie::Session.clear(state.signin.settings()) {
        answer.headers_mut().append(header::SET_COOKIE, gone);
    }
    Ok(answer)
}

/// What was typed for a key.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    name: String,
    days: String,
    actions: String,
    connections: String,
}

/// `all`, or names by comma; nothing is said by leaving it empty.
fn limit(text: &str, what: &str) -> Result<Limit, Problem> {
    let names: Vec<&str> = text.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
    match names.as_slice() {
        [] => Err(Problem::new(StatusCode::BAD_REQUEST, format!("say which {what} it is for, or `all`"))),
        ["all"] => Ok(Limit::All),
        names => Ok(Limit::Only(names.iter().map(|n| (*n).to_owned()).collect())),
    }
}

impl Wanted {
    fn key(&self) -> Result<NewApiKey, Problem> {
        let wrong = |why: &str| Problem::new(StatusCode::BAD_REQUEST, why);
        let days: u64 = self.days.trim().parse().map_err(|_| wrong("for how many days it is good is a number"))?;
        let actions = limit(&self.actions, "actions")?;
        if let Limit::Only(names) = &actions {
            let unknown = names.iter().find(|n| n.parse::<Administration>().is_err());
            if let Some(unknown) = unknown {
                return Err(wrong(&format!("there is no action `{unknown}`: it would be of no use")));
            }
        }
        Ok(NewApiKey {
            name: self.name.trim().to_owned(),
            scope: ScopeView { actions, connections: limit(&self.connections, "connections")? },
            ttl_seconds: Some(days.saturating_mul(DAY)),
        })
    }
}

/// Makes a key, and shows its secret: the answer to this, and nothing else, has it.
pub(crate) async fn make_key(
    State(state): State<ApiState>,
    asker: Asker,
    sent: Result<Form<Wanted>, FormRejection>,
) -> Answer {
    let Form(sent) = sent.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    asker.may(Administration::CreateKeys)?;
    let made = match sent.key() {
        Ok(wanted) => api::made(&state, &asker, wanted).await,
        Err(problem) => Err(problem),
    };
    let shown = match made {
        Ok((secret, key)) => {
            let made = NewKey { name: key.name.into(), secret: secret.expose().clone() };
            Shown { made: Some(made), ..Shown::default() }
        }
        Err(problem) => {
            let Wanted { name, days, actions, connections } = sent;
            let fields = KeyFields { name, days, actions, connections };
            Shown { status: problem.status(), problem: Some(problem), fields, ..Shown::default() }
        }
    };
    page_of(&state, &asker, shown).await
}

pub(crate) async fn revoke_own(State(state): State<ApiState>, asker: Asker, Path(id): Path<String>) -> Answer {
    api::revoked(&state, &asker, &id, &HeaderMap::new()).await?;
    Ok(page::see_other("/settings?done=revoked#keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_for_what_was_said_and_nothing_by_default() {
        let wanted = |days: &str, actions: &str, connections: &str| {
            let text = |t: &str| t.to_owned();
            Wanted { name: " report ".into(), days: text(days), actions: text(actions), connections: text(connections) }
                .key()
                .map(|k| (k.name, k.scope.actions, k.scope.connections, k.ttl_seconds))
                .map_err(|p| p.detail().to_owned())
        };
        let only = |name: &str| Limit::Only([name.to_owned()].into());
        assert_eq!(
            wanted("2", " view_audit, ", "all").unwrap(),
            ("report".into(), only("view_audit"), Limit::All, Some(2 * DAY))
        );
        assert!(wanted("2", " , ", "all").unwrap_err().contains("which actions"));
        assert!(wanted("2", "all", "").unwrap_err().contains("which connections"));
        assert!(wanted("2", "all, view_audit", "all").unwrap_err().contains("`all`"));
        assert!(wanted("many", "all", "all").unwrap_err().contains("number"));
    }
}
